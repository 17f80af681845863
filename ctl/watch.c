/* watch.c: smbgatectl watch: nodes, clients or refusals on the whole terminal, again and again */
#include "config.h"

#include "ctl/watch.h"

#include "ctl/ask.h"
#include "ctl/field.h"
#include "ctl/legible.h"
#include "ctl/options.h"
#include "ctl/rows.h"
#include "ctl/show.h"
#include "ctl/table.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_WHAT "clients"
#define SECOND_MS 1000
/* Clients that have said something last: top talkers are among these. */
#define CLIENTS_ASKED 1000

/* The other screen, without a cursor; and back. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

struct watch {
	const char *path, *what;
	struct termios before;
	bool raw;			/* the terminal is not as it was */
	json_t *last;			/* the answer before this one, by name */
	uint64_t last_ms;
};

/* One row, with what went through since the answer before. */
struct talk {
	const json_t *row;
	double to_node, to_client;	/* a second */
};

void
watch_check(const struct options *o, const char *what)
{
	if (what != NULL && strcmp(what, "nodes") != 0 && strcmp(what, "clients") != 0 &&
	    strcmp(what, "refusals") != 0)
		usage_error(o, "watch shows nodes, clients or refusals");
	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		usage_error(o, "watch needs a terminal: see show %s --json",
		    what == NULL ? DEFAULT_WHAT : what);
}

void
show_watch(const json_t *answer, bool all, FILE *out)
{
	(void)answer;
	(void)all;
	(void)out;
}

static uint64_t
watch_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* What tells a row from others: a client may be on several nodes, of several clusters. */
static const char *
row_name(const json_t *row, char dst[256])
{
	snprintf(dst, 256, "%s %s %s", text_of(row, "name"), text_of(row, "client"),
	    text_of(row, "node"));
	return dst;
}

static double
a_second(const json_t *row, const json_t *before, const char *key, double seconds)
{
	double more = (double)(int_of(row, key) - int_of(before, key));

	return before == NULL || more < 0 || seconds <= 0 ? 0 : more / seconds;
}

static int
talk_compare(const void *a, const void *b)
{
	const struct talk *x = a, *y = b;
	double m = x->to_node + x->to_client, n = y->to_node + y->to_client;

	return (m < n) - (m > n);
}

/* The rows, top talkers first; for the caller to free. Remembers them for the next time. */
static struct talk *
talks_of(struct watch *w, const json_t *rows, size_t *n_r)
{
	size_t n = json_array_size(rows), i;
	struct talk *all = calloc(n + 1, sizeof(*all));
	uint64_t now = watch_now_ms();
	double seconds = w->last == NULL ? 0 : (double)(now - w->last_ms) / 1000;
	json_t *next = json_object(), *row;
	char name[256];

	*n_r = all == NULL ? 0 : n;
	json_array_foreach(rows, i, row) {
		const json_t *before = json_object_get(w->last, row_name(row, name));

		json_object_set(next, name, row);
		if (all == NULL)
			continue;
		all[i] = (struct talk){
			.row = row,
			.to_node = a_second(row, before, "bytes_to_node", seconds),
			.to_client = a_second(row, before, "bytes_to_client", seconds),
		};
	}
	json_decref(w->last);
	w->last = next;
	w->last_ms = now;
	if (all != NULL)
		qsort(all, n, sizeof(*all), talk_compare);
	return all;
}

static void
add_rate(struct table *t, double n)
{
	char text[32];

	table_add(t, "%s/s", rows_bytes(n, text));
}

static void
add_files(struct table *t, const json_t *row)
{
	if (json_is_integer(json_object_get(row, "open_files")))
		table_add(t, "%lld", int_of(row, "open_files"));
	else
		table_add(t, "-");
}

/* What matters most is on the left: a narrow terminal has only that. */
static void
print_nodes(const struct talk *all, size_t n, FILE *out)
{
	static const char *const heads[] = { "NODE", "STATE", ">TO CLIENTS", ">TO NODE",
		">CLIENTS", ">CONNS", ">FILES", "SINCE", "ADDRESS" };
	struct table t = { .heads = heads, .ncols = sizeof(heads) / sizeof(heads[0]) };
	char since[32];

	for (size_t i = 0; i < n; i++) {
		const json_t *o = all[i].row;

		table_add(&t, "%s", text_of(o, "name"));
		table_add(&t, "%s", text_of(o, "state"));
		add_rate(&t, all[i].to_client);
		add_rate(&t, all[i].to_node);
		table_add(&t, "%lld", int_of(o, "clients"));
		table_add(&t, "%lld", int_of(o, "connections"));
		add_files(&t, o);
		table_add(&t, "%s", duration(int_of(o, "state_since_s"), since));
		table_add(&t, "%s", text_of(o, "address"));
	}
	table_print(&t, out);
}

static void
print_clients(const struct talk *all, size_t n, FILE *out)
{
	static const char *const heads[] = { "ADDRESS", ">TO CLIENT", ">TO NODE", "NODE", "USER",
		">CONNS", ">FILES", "IDLE", "CLIENT" };
	struct table t = { .heads = heads, .ncols = sizeof(heads) / sizeof(heads[0]) };
	char idle[32];

	for (size_t i = 0; i < n; i++) {
		const json_t *o = all[i].row;

		table_add(&t, "%s", text_of(o, "address"));
		add_rate(&t, all[i].to_client);
		add_rate(&t, all[i].to_node);
		table_add(&t, "%s", text_of(o, "node"));
		table_add(&t, "%s", text_of(o, "user"));
		table_add(&t, "%lld", int_of(o, "connections"));
		add_files(&t, o);
		table_add(&t, "%s", duration(int_of(o, "idle_s"), idle));
		table_add(&t, "%s", text_of(o, "client"));
	}
	table_print(&t, out);
}

/* lines: as many as there is room for. */
static void
print_watched(struct watch *w, const json_t *answer, size_t lines, FILE *out)
{
	struct talk *all;
	size_t n;

	if (answer == NULL || json_object_get(answer, "error") != NULL) {
		fprintf(out, "%s\n", answer == NULL ? "out of memory" : text_of(answer, "error"));
		return;
	}
	if (strcmp(w->what, "refusals") == 0) {
		show_refusals(answer, false, out);
		return;
	}
	all = talks_of(w, json_object_get(answer, w->what), &n);
	n = n < lines ? n : lines;
	if (strcmp(w->what, "nodes") == 0)
		print_nodes(all, n, out);
	else
		print_clients(all, n, out);
	free(all);
}

/* The bytes of so many columns of UTF-8 text. */
static size_t
cut(const char *line, size_t len, unsigned columns)
{
	size_t i = 0;

	while (i < len && (((unsigned char)line[i] & 0xc0) == 0x80 || columns-- > 0))
		i++;
	return i;
}

/* What fits of a text, line by line, over what was there. */
static void
put_screen(const char *text, const struct winsize *size)
{
	const char *line = text;
	unsigned row = 0;

	fputs("\033[H", stdout);
	for (; *line != '\0' && row < size->ws_row; row++) {
		size_t len = strcspn(line, "\n");

		/* Behind a full line there is nothing to erase, but its last character. */
		printf("%s\033[K%.*s", row > 0 ? "\r\n" : "", (int)cut(line, len, size->ws_col),
		    line);
		line += len + (line[len] == '\n');
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

static void
draw(struct watch *w)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 }, now;
	json_t *request = json_pack("{s:s, s:s, s:b, s:s, s:i}", "cmd", "show", "what", w->what,
	    "live", 1, "sort", "active", "limit", CLIENTS_ASKED);
	json_t *answer = ask(w->path, request);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) == 0 && now.ws_row > 0 && now.ws_col > 0)
		size = now;
	if (out != NULL) {
		legible(answer);
		fprintf(out, "smbgatectl watch %s, q ends it\n\n", w->what);
		print_watched(w, answer, size.ws_row, out);
		fclose(out);
		put_screen(text, &size);
	}
	free(text);
	json_decref(answer);
	json_decref(request);
}

/* Keys come one by one, and are not shown. */
static void
screen_enter(struct watch *w)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &w->before) == 0) {
		t = w->before;
		t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		w->raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
	}
	fputs(ENTER, stdout);
	fflush(stdout);
}

static void
screen_leave(struct watch *w)
{
	fputs(LEAVE, stdout);
	fflush(stdout);
	if (w->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &w->before);
	w->raw = false;
}

/* A signal is there. False: the end. */
static bool
take_signal(struct watch *w, int fd)
{
	struct signalfd_siginfo si;

	if (read(fd, &si, sizeof(si)) != sizeof(si) || si.ssi_signo == SIGWINCH)
		return true;
	if (si.ssi_signo != SIGTSTP)
		return false;
	screen_leave(w);
	raise(SIGSTOP);
	screen_enter(w);
	return true;
}

/* Until the next second is over, or something happens before. False: the end. */
static bool
pause_watch(struct watch *w, int fd)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN } };
	char key = 'q';

	if (poll(p, 2, SECOND_MS) <= 0)
		return true;
	if ((p[0].revents & POLLIN) != 0)
		return take_signal(w, fd);
	/* An end of the input is one of the watch. */
	return p[1].revents == 0 || (read(STDIN_FILENO, &key, 1) == 1 && key != 'q');
}

int
watch_run(const char *path, const char *what)
{
	struct watch w = { .path = path, .what = what == NULL ? DEFAULT_WHAT : what };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGWINCH);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd == -1 || sigprocmask(SIG_BLOCK, &set, NULL) == -1) {
		perror("smbgatectl");
		return EXIT_FAILURE;
	}
	screen_enter(&w);
	do
		draw(&w);
	while (pause_watch(&w, fd) && !ferror(stdout));
	screen_leave(&w);
	json_decref(w.last);
	close(fd);
	return EXIT_SUCCESS;
}
