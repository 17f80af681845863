/* operate.c: what smbgatectl waits for: nodes that empty, smbgate's end, clients that move */
#include "config.h"

#include "ctl/operate.h"

#include "ctl/ask.h"
#include "ctl/failure.h"
#include "ctl/field.h"
#include "ctl/legible.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_MS 1000
#define MOVING_MS 20

static void
pause_ms(long ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static void
print_client(const json_t *c, const char *what, FILE *out)
{
	const json_t *files = json_object_get(c, "open_files");

	fprintf(out, "%s: client %s at %s, user %s, node %s, ", what, text_of(c, "client"),
	    text_of(c, "address"), text_of(c, "user"), text_of(c, "node"));
	if (json_is_integer(files))
		fprintf(out, "%lld open files\n", int_of(c, "open_files"));
	else
		fprintf(out, "open files that cannot be seen\n");
}

/* what NULL: each says what became of its move. */
static void
print_meant(const json_t *list, const char *what, FILE *out)
{
	const json_t *c;
	size_t i;

	json_array_foreach(list, i, c)
		print_client(c, what != NULL ? what : bool_of(c, "moved") ? "moved"
		                                                        : text_of(c, "how"), out);
}

static const char *
plural(long long n)
{
	return n == 1 ? "" : "s";
}

/* Those of the other proxies that keep us waiting, and those that cannot. */
static void
print_elsewhere(const json_t *o, FILE *out)
{
	const json_t *list = json_object_get(o, "elsewhere"), *v;
	bool waits = int_of(o, "connections") + int_of(o, "before") > 0;
	size_t i;

	json_array_foreach(list, i, v) {
		const long long n = int_of(v, "connections");
		const char *says = text_of(v, "says");

		waits |= n > 0 || strcmp(says, "not yet") == 0;
		if (n > 0)
			fprintf(out, "; at proxy %s: %lld connection%s", text_of(v, "proxy"), n,
			    plural(n));
		else if (strcmp(says, "not yet") == 0)
			fprintf(out, "; proxy %s does not know of it yet", text_of(v, "proxy"));
		else if (strcmp(says, "never") == 0)
			fprintf(out, "; proxy %s, of an older version, does not say",
			    text_of(v, "proxy"));
	}
	if (json_is_null(list))
		fputs("; other proxies are not known, see smbgatectl show map", out);
	else if (json_is_false(json_object_get(o, "over")) && !waits)
		fputs("; other proxies are asked once more", out);
}

static void
print_progress(const json_t *o, FILE *out)
{
	const json_t *left = json_object_get(o, "remaining_s");

	fprintf(out, "%s: %lld client%s, %lld connection%s, %lld open files",
	    json_is_string(json_object_get(o, "node")) ? text_of(o, "node") : "smbgate",
	    int_of(o, "clients"), plural(int_of(o, "clients")), int_of(o, "connections"),
	    plural(int_of(o, "connections")), int_of(o, "open_files"));
	if (int_of(o, "before") > 0)
		fprintf(out, ", %lld connections from before an upgrade", int_of(o, "before"));
	if (int_of(o, "unseen") > 0)
		fprintf(out, ", %lld of the clients cannot be seen into", int_of(o, "unseen"));
	if (json_is_integer(left))
		fprintf(out, ", %lld s left", int_of(o, "remaining_s"));
	print_elsewhere(o, out);
	fputc('\n', out);
}

static void
print_line(const json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
}

/* What the end does not say of other proxies. */
static void
print_end_elsewhere(const json_t *o)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(o, "elsewhere"), i, v) {
		const long long n = int_of(v, "cut_total");

		if (n > 0)
			printf("Proxy %s has cut %lld client%s at the deadline: see its log.\n",
			    text_of(v, "proxy"), n, plural(n));
		if (strcmp(text_of(v, "says"), "never") == 0)
			printf("Proxy %s, of an older version, does not say whom it has there: "
			       "wait at it as well.\n", text_of(v, "proxy"));
	}
}

/* The last line has those that the deadline has cut. */
static void
print_end(const json_t *o, bool json)
{
	if (json) {
		print_line(o);
		return;
	}
	legible(json_object_get(o, "cut"));
	print_meant(json_object_get(o, "cut"), "cut at the deadline", stdout);
	print_end_elsewhere(o);
	if (bool_of(o, "stopped"))
		printf("smbgate has stopped.\n");
	else
		printf("%s is empty.\n", text_of(o, "node"));
}

/* How far it is; nothing where smbgate does not say, as in its last moment. */
static void
print_how_far(const char *path, const json_t *request, bool json)
{
	json_t *o = ask(path, request);

	if (o != NULL && json_object_get(o, "error") == NULL) {
		json_object_del(o, "cut");
		if (json)
			print_line(o);
		else
			print_progress(o, stdout);
		fflush(stdout);
	}
	json_decref(o);
}

static bool
is_over(const json_t *o)
{
	const json_t *over = json_object_get(o, "over");

	/* An smbgate of an older version sees its own clients alone. */
	return over == NULL ? int_of(o, "connections") + int_of(o, "before") == 0
	                    : json_is_true(over);
}

int
operate_wait(const char *path, const char *node, bool json)
{
	json_t *request = json_pack("{s:s, s:s}", "cmd", "progress", "node", node), *o;
	bool empty = false, failed = false;

	while (!empty && !failed) {
		o = ask(path, request);
		failed = o == NULL || json_object_get(o, "error") != NULL;
		empty = !failed && is_over(o);
		if (failed)
			failure_print(json_incref(o), json);
		else if (empty)
			print_end(o, json);
		else if (o != NULL && json)
			json_object_del(o, "cut"), print_line(o);
		else if (o != NULL)
			print_progress(o, stdout);
		json_decref(o);
		failed |= fflush(stdout) == EOF;
		if (!empty && !failed)
			pause_ms(PROGRESS_MS);
	}
	json_decref(request);
	return empty ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The lines of an answer, as they come. NULL: *first is the reason. */
static FILE *
stop_begin(const char *path, const json_t *request, json_t **first)
{
	int fd = ask_begin(path, request, first);
	FILE *f = fd == -1 ? NULL : fdopen(fd, "r");

	if (f == NULL && fd != -1)
		close(fd);
	/* What has come is to be seen by poll(). */
	if (f != NULL && setvbuf(f, NULL, _IONBF, 0) == 0)
		*first = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL);
	if (f != NULL && *first != NULL && json_object_get(*first, "error") == NULL &&
	    fgetc(f) == '\n')
		return f;
	if (json_object_get(*first, "error") == NULL) {
		json_decref(*first);
		*first = failure("no answer");
	}
	if (f != NULL)
		fclose(f);
	return NULL;
}

/* smbgate's last line, of which the connection's end follows with smbgate's; NULL: none came. */
static json_t *
stop_wait(const char *path, FILE *f, bool drains, bool json)
{
	json_t *request = json_pack("{s:s}", "cmd", "progress"), *last;
	struct pollfd p = { .fd = fileno(f), .events = POLLIN };

	do {
		if (drains)
			print_how_far(path, request, json);
	} while (poll(&p, 1, PROGRESS_MS) == 0);
	json_decref(request);
	last = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL);
	while (fgetc(f) != EOF)
		continue;
	return last;
}

int
operate_stop(const char *path, const json_t *request, bool json)
{
	const pid_t pid = ask_pid(path);
	json_t *first = NULL, *last = NULL;
	FILE *f = stop_begin(path, request, &first);
	const bool drains = int_of(request, "drain_ms") > 0;
	bool good;

	if (f == NULL) {
		failure_print(first, json);
		return EXIT_FAILURE;
	}
	if (json)
		print_line(first);
	else
		show_stop(first, false, stdout);
	json_decref(first);
	fflush(stdout);
	last = stop_wait(path, f, drains, json);
	fclose(f);
	/* Who starts another one now is not to meet this one. */
	while (pid != -1 && ask_pid(path) == pid)
		pause_ms(MOVING_MS);
	if (last == NULL && !drains)
		last = json_pack("{s:b}", "stopped", 1);
	good = last != NULL;
	if (good)
		print_end(last, json);
	else
		failure_print(failure("smbgate has ended before its clients had gone; its log "
		    "says why"), json);
	json_decref(last);
	return good && fflush(stdout) != EOF ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Where smbgate does not answer any more: why, as ask() says it. */
static json_t *
move_end(const char *path, json_int_t number)
{
	json_t *request = json_pack("{s:s, s:I}", "cmd", "moved", "number", number), *o;

	for (;;) {
		o = ask(path, request);
		if (o == NULL || json_object_get(o, "error") != NULL || bool_of(o, "over"))
			break;
		json_decref(o);
		pause_ms(MOVING_MS);
	}
	json_decref(request);
	return o;
}

json_t *
operate_moved(const char *path, const json_t *answer)
{
	json_t *made = json_deep_copy(answer), *v;
	bool good = true;
	size_t i;

	json_array_foreach(json_object_get(made, "moves"), i, v) {
		json_t *end;

		/* It cannot be moved, and says why. */
		if (json_object_get(v, "number") == NULL) {
			good = false;
			continue;
		}
		end = move_end(path, int_of(v, "number"));
		if (end == NULL || json_object_get(end, "error") != NULL) {
			json_decref(made);
			return end;
		}
		good &= bool_of(end, "moved");
		json_object_set_new(v, "moved", json_boolean(bool_of(end, "moved")));
		json_object_set_new(v, "how", json_string(text_of(end, "how")));
		json_object_del(v, "number");
		json_decref(end);
	}
	json_object_set_new(made, "good", json_boolean(good));
	return made;
}

void
show_killed(const json_t *answer, bool all, FILE *out)
{
	const json_t *before = json_object_get(answer, "before");

	(void)all;
	print_meant(json_object_get(answer, "killed"), "killed", out);
	if (json_is_object(before))
		fprintf(out, "Process %lld, which has %lld connections from before an upgrade, "
		             "%s\n", int_of(before, "pid"), int_of(before, "connections"),
		    json_is_false(json_object_get(before, "told"))
		        ? "does not listen: connections there go on."
		        : "has been told as well: its log says what came of that.");
	if (!bool_of(answer, "others_told"))
		fputs("Other proxies could not be told: connections there go on.\n", out);
}

void
show_moved(const json_t *answer, bool all, FILE *out)
{
	(void)all;
	print_meant(json_object_get(answer, "moves"), NULL, out);
}

void
show_stop(const json_t *answer, bool all, FILE *out)
{
	(void)all;
	if (int_of(answer, "drain_s") == 0)
		fputs("smbgate stops.\n", out);
	else
		fprintf(out, "smbgate takes nobody new, and stops within %lld seconds.\n",
		    int_of(answer, "drain_s"));
}
