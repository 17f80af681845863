/* smbgatectl.c: program smbgatectl: asks a running smbgate over its control socket */
#include "config.h"

#include "ctl/ask.h"
#include "ctl/capture.h"
#include "ctl/check.h"
#include "ctl/command.h"
#include "ctl/failure.h"
#include "ctl/found.h"
#include "ctl/legible.h"
#include "ctl/loglevel.h"
#include "ctl/operate.h"
#include "ctl/options.h"
#include "ctl/rows.h"
#include "ctl/setup.h"
#include "ctl/show.h"
#include "ctl/upgrade.h"
#include "ctl/watch.h"
#include "base/addr.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/units.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#define NO_PATH "there is no path of a socket to be had"

/* It is not smbgate that does it: what it answers to "show" is the beginning. */
static bool
is_check(const struct command *c)
{
	return c->show == show_check;
}

static void
usage(FILE *out)
{
	fputs("usage: smbgatectl [-s SOCKET | -c smbgate.conf] [--json] COMMAND\n\n", out);
	commands_help(out);
	fputc('\n', out);
	options_help(out);
	fputs("\n"
	      "SMBGATE_CONTROL names the socket where neither -s nor -c does.\n"
	      "Exit status: 0 success, 1 failure, or faults that a check found, 2 a wrong\n"
	      "command line.\n",
	    out);
}

/* For the caller to free; NULL: the reason is on stderr. */
static char *
socket_path(const struct options *o)
{
	const char *env = getenv("SMBGATE_CONTROL");
	struct errlist e = { .n = 0 };
	struct conf *conf;
	char *path = NULL;

	if (!option_given(o, OPT_CONFIG))
		return strdup(option_given(o, OPT_SOCKET) ? o->value[OPT_SOCKET]
		        : env != NULL && env[0] != '\0'   ? env
		                                          : DEFAULT_SOCKET);
	conf = conf_load(o->value[OPT_CONFIG], &e);
	if (conf != NULL)
		path = strdup(conf->control);
	for (size_t i = 0; i < e.n; i++)
		fprintf(stderr, "%s\n", e.text[i]);
	errlist_fini(&e);
	conf_free(&conf);
	return path;
}

/* words: of the command's arguments. NULL: one is not UTF-8 text. */
static json_t *
make_request(const struct options *o, const struct command *c, char *const *words)
{
	const char *arg = c->arg == NULL ? NULL : words[0];
	json_t *request = json_pack("{s:s, s:s*, s:s*, s:s*}", "cmd",
	    is_check(c) ? "show" : c->word, "what", c->sent, c->arg == NULL ? "arg" : c->arg,
	    is_check(c) ? NULL : arg, c->arg2 == NULL ? "arg2" : c->arg2,
	    c->arg2 == NULL ? NULL : words[1]);

	if (request == NULL)
		return NULL;
	options_request(o, request);
	if (rows_are(c->what))
		rows_request(o, c->what, request);
	return request;
}

/* What smbgatectl makes of an answer; takes it over. NULL: out of memory. */
static json_t *
finish_answer(const struct command *c, const char *path, json_t *answer)
{
	json_t *made = NULL;

	if (answer == NULL || json_object_get(answer, "error") != NULL)
		return answer;
	if (c->show != show_moved)
		return answer;
	made = operate_moved(path, answer);
	json_decref(answer);
	return made;
}

/* The file to check, NULL: none is named, and a socket is; or there is none. */
static const char *
conf_to_check(const struct options *o)
{
	const char *env = getenv("SMBGATE_CONTROL");

	if (option_given(o, OPT_CONFIG))
		return o->value[OPT_CONFIG];
	if (option_given(o, OPT_SOCKET) || (env != NULL && env[0] != '\0') ||
	    access(DEFAULT_CONF, F_OK) == -1)
		return NULL;
	return DEFAULT_CONF;
}

/* smbgate's answer, taken over, or one in its place: it need not run where there is a file. */
static json_t *
check(const struct options *o, const char *path, const char *client, json_t *answer)
{
	const bool runs = json_object_get(answer, "error") == NULL;
	struct check c = { .good = true };
	const struct setup_ask ask = { .conf = conf_to_check(o), .socket = runs ? path : NULL,
		.names = o->names, .nnames = o->nnames, .kdc = o->value[OPT_KDC] };
	json_t *made;

	if (!runs && ask.conf == NULL)
		return answer;
	c.list = json_array();
	if (runs)
		check_machine(&c, answer, client);
	json_decref(answer);
	if (ask.conf != NULL && setup_check(&c, &ask) == -1) {
		json_decref(c.list);
		return failure("the files have errors");
	}
	made = json_pack("{s:b, s:o}", "good", c.good, "checks", c.list);
	return made;
}

/* False: it could not be written. */
static bool
print_answer(const struct options *o, const struct command *c, json_t *answer, bool good)
{
	const bool json = option_given(o, OPT_JSON), all = option_given(o, OPT_ALL);

	if (!json)
		legible(answer);
	else if (good && option_given(o, OPT_COLUMNS))
		rows_keep(o, answer, c->what);
	if (!good)
		failure_print(json_incref(answer), json);
	else if (json)
		json_dumpf(answer, stdout, option_given(o, OPT_WAIT) ? JSON_COMPACT
		                                                     : JSON_INDENT(2));
	else if (option_given(o, OPT_COLUMNS))
		rows_print(o, answer, c->what, o->value[OPT_COLUMNS], stdout);
	else
		(option_given(o, OPT_OLD) ? show_old : c->show)(answer, all, stdout);
	if (good && json)
		putchar('\n');
	if (!json && good && rows_are(c->what))
		rows_left_out(answer, c->what, stdout);
	if (fflush(stdout) != EOF && !ferror(stdout))
		return true;
	fprintf(stderr, "smbgatectl: cannot write: %s\n", strerror(errno));
	return false;
}

/* The exit status. */
static int
ctl_run(const struct options *o, const struct command *c, char *const *words)
{
	const char *arg = c->arg == NULL ? NULL : words[0];
	json_t *request = make_request(o, c, words), *answer = NULL;
	char *path = socket_path(o);
	bool good = false;

	if (request == NULL)
		answer = failure("the argument is not UTF-8 text");
	else if (path == NULL)
		answer = failure(NO_PATH);
	else if (is_check(c))
		answer = check(o, path, arg, ask(path, request));
	else
		answer = finish_answer(c, path, ask(path, request));
	json_decref(request);
	if (answer != NULL) {
		good = json_object_get(answer, "error") == NULL;
		good = print_answer(o, c, answer, good) && good &&
		    !json_is_false(json_object_get(answer, "good")) &&
		    !(c->show == show_explain && show_explained(answer) == 0) &&
		    !(rows_are(c->what) && rows_nobody(o, answer));
	}
	json_decref(answer);
	if (good && option_given(o, OPT_WAIT))
		good = operate_wait(path, arg, option_given(o, OPT_JSON)) == EXIT_SUCCESS;
	free(path);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* An order to stop, and its end. The exit status. */
static int
ctl_stop(const struct options *o, const struct command *c, char *const *words)
{
	json_t *request = make_request(o, c, words);
	char *path = socket_path(o);
	int status = EXIT_FAILURE;

	if (path == NULL)
		failure_print(failure(NO_PATH), option_given(o, OPT_JSON));
	else if (request != NULL)
		status = operate_stop(path, request, option_given(o, OPT_JSON));
	json_decref(request);
	free(path);
	return status;
}

static int
ctl_watch(const struct options *o, const char *what)
{
	char *path;
	int status;

	watch_check(o, what);
	path = socket_path(o);
	if (path == NULL)
		failure_print(failure(NO_PATH), option_given(o, OPT_JSON));
	status = path == NULL ? EXIT_FAILURE : watch_run(path, what);
	free(path);
	return status;
}

/* Its answer goes on for a while. The exit status. */
static int
stream_run(const struct options *o, const struct command *c, char *const *words)
{
	struct capture k = { o->value[OPT_WRITE], CAPTURE_SIZE, option_given(o, OPT_FORCE),
		option_given(o, OPT_JSON) };
	const char *size = o->value[OPT_SIZE];
	const bool captures = strcmp(c->word, "capture") == 0;
	json_t *request = make_request(o, c, words);
	char *path = socket_path(o);
	int status = EXIT_FAILURE;

	if (captures && k.file == NULL)
		usage_error(o, "capture needs --write FILE");
	if (size != NULL && (units_speed(&k.size, size) == -1 || k.size == 0))
		usage_error(o, "\"%s\" is not a number of bytes, such as 100M", size);
	if (request == NULL)
		usage_error(o, "\"%s\" is not UTF-8 text", words[0]);
	if (path == NULL)
		failure_print(failure(NO_PATH), k.json);
	else
		status = captures ? capture_run(path, request, &k)
		                  : trace_run(path, request, k.json);
	json_decref(request);
	free(path);
	return status;
}

/* Who is meant, or what: one of them. Ends the program where it is none, or several. */
static void
match_explain(const struct options *o, const char *who)
{
	const int n = (who != NULL) + option_given(o, OPT_ADDRESS) + option_given(o, OPT_GUID);

	if (n != 1)
		usage_error(o, "explain needs one of WHO, --address and --guid");
	if (who != NULL && option_given(o, OPT_LISTENER))
		usage_error(o, "--listener goes with --address and --guid");
}

int
main(int argc, char **argv)
{
	struct options o = { .value = { NULL } };
	const struct command *c;
	struct addr a;
	char **words;

	options_read(&o, argc, argv);
	if (option_given(&o, OPT_VERSION)) {
		puts("smbgatectl " PACKAGE_VERSION);
		return EXIT_SUCCESS;
	}
	if (option_given(&o, OPT_HELP)) {
		usage(stdout);
		return EXIT_SUCCESS;
	}
	if (optind == argc) {
		usage(stderr);
		if (option_given(&o, OPT_JSON))
			failure_print(failure("a command is missing"), true);
		return EXIT_USAGE;
	}
	c = command_find(&o, argc - optind, argv + optind, &words);
	command_match(c, &o);
	if (c->show == show_explain)
		match_explain(&o, words[0]);
	if (is_check(c) && words[0] != NULL && addr_parse(&a, words[0]) == -1)
		usage_error(&o, "\"%s\" is not an IPv4 or IPv6 address", words[0]);
	if (c->show == show_log_level)
		loglevel_check(&o, words[0]);
	if (strcmp(c->word, "upgrade") == 0)
		return upgrade_run(o.value[OPT_CONFIG], option_given(&o, OPT_JSON));
	if (c->show == show_watch)
		return ctl_watch(&o, words[0]);
	if (c->show == show_stop && option_given(&o, OPT_WAIT))
		return ctl_stop(&o, c, words);
	return c->show == NULL ? stream_run(&o, c, words) : ctl_run(&o, c, words);
}
