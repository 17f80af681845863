/* smbgatectl.c: program smbgatectl: asks a running smbgate over its control socket */
#include "config.h"

#include "ctl/ask.h"
#include "ctl/nearest.h"
#include "ctl/show.h"
#include "policy/conf.h"
#include "policy/errlist.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define DEFAULT_SOCKET "/run/smbgate/control.sock"
#define EXIT_USAGE 2

struct options {
	const char *socket, *conf;
	bool json, all, describe;
};

/*
 * Every command there is. what: the object of show, as it is typed; sent: as the request has it;
 * arg: the key of the argument that follows.
 */
static const struct command {
	const char *word, *what, *sent, *arg, *arg_help;
	void (*show)(const json_t *answer, bool all, FILE *out);
} commands[] = {
	{ "show", "nodes", "nodes", NULL, NULL, show_nodes },
	{ "show", "clients", "clients", NULL, NULL, show_clients },
	{ "show", "sessions", "sessions", NULL, NULL, show_sessions },
	{ "show", "policy", "policy", NULL, NULL, show_policy },
	/* "state" is what an older smbgate calls it, and what scripts still do. */
	{ "show", "map", "state", NULL, NULL, show_map },
	{ "show", "state", "state", NULL, NULL, show_map },
	{ "show", "stats", "stats", NULL, NULL, show_stats },
	{ "explain", NULL, NULL, "who", "an address, a GUID, a session or a user", show_explain },
	{ "drain", NULL, NULL, "node", "the name of a node", show_drain },
	{ "undrain", NULL, NULL, "node", "the name of a node", show_drain },
	{ "reload", NULL, NULL, NULL, NULL, show_reload },
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
usage(FILE *out)
{
	fputs("usage: smbgatectl [-s SOCKET | -c smbgate.conf] [--json] COMMAND\n"
	      "\n"
	      "  show nodes          nodes, their state and load\n"
	      "  show clients        clients, their node, and what they were told\n"
	      "  show sessions       sessions, their protection, and what they were told\n"
	      "  show policy         the policy in force\n"
	      "  show map            the map of claims, Redis if it is there; or show state\n"
	      "  show stats          counters; --all: with zeros, --describe: what each means\n"
	      "  explain WHO         why a client has one channel or several; WHO is its address\n"
	      "                      or GUID, a session, or a part of a user's name\n"
	      "  drain NODE          no new clients for a node; live ones stay\n"
	      "  undrain NODE        new clients again\n"
	      "  reload              reload policy.conf; one with errors changes nothing\n"
	      "\n"
	      "  -s, --socket PATH   the control socket (default " DEFAULT_SOCKET ")\n"
	      "  -c, --config FILE   take the path of the socket from this smbgate.conf\n"
	      "  -j, --json          print the answer as JSON\n"
	      "  -a, --all           with show stats and show map: counters that are zero, too\n"
	      "  -d, --describe      with show stats: what each counter means\n"
	      "  -V, --version       print the version, and exit\n"
	      "  -h, --help          print this, and exit\n"
	      "\n"
	      "SMBGATE_CONTROL names the socket where neither -s nor -c does.\n"
	      "Exit status: 0 success, 1 failure, 2 a wrong command line.\n",
	    out);
}

static void __attribute__((noreturn, format(printf, 1, 2)))
usage_error(const char *fmt, ...)
{
	va_list ap;

	fputs("smbgatectl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\nsmbgatectl: see smbgatectl --help\n", stderr);
	exit(EXIT_USAGE);
}

/* The options; the words that are left are at argv[optind]. Ends the program where that is due. */
static void
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "all", no_argument, NULL, 'a' },
		{ "describe", no_argument, NULL, 'd' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "s:c:jadVh", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			o->socket = optarg;
			break;
		case 'c':
			o->conf = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'a':
			o->all = true;
			break;
		case 'd':
			o->describe = true;
			break;
		case 'V':
			puts("smbgatectl " PACKAGE_VERSION);
			exit(EXIT_SUCCESS);
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			/* getopt_long() has said what is wrong. */
			fputs("smbgatectl: see smbgatectl --help\n", stderr);
			exit(EXIT_USAGE);
		}
	}
	if (o->socket != NULL && o->conf != NULL)
		usage_error("-s and -c exclude each other");
}

/* Nothing is called that; word: which command's object is meant, NULL: the command itself. */
static void __attribute__((noreturn))
unknown_word(const char *typed, const char *word)
{
	const char *words[NCOMMANDS];
	char list[256];
	bool near;

	for (size_t i = 0; i < NCOMMANDS; i++)
		words[i] = word == NULL                    ? commands[i].word
		    : strcmp(commands[i].word, word) == 0 ? commands[i].what
		                                          : NULL;
	near = nearest(list, sizeof(list), typed, words, NCOMMANDS);
	usage_error("unknown %s \"%s\"; %s %s", word == NULL ? "command" : "object of show", typed,
	    near ? "you may have meant" : "it is one of", list);
}

/* The command of these words, of which there is at least one. Ends the program when it is none. */
static const struct command *
parse_words(int n, char **words)
{
	const struct command *c = NULL;
	int wanted;

	for (size_t i = 0; i < NCOMMANDS; i++) {
		if (strcmp(words[0], commands[i].word) != 0)
			continue;
		c = &commands[i];
		if (c->what == NULL || n < 2 || strcmp(words[1], c->what) == 0)
			break;
	}
	if (c == NULL)
		unknown_word(words[0], NULL);
	if (c->what != NULL && n < 2)
		usage_error("show needs one of nodes, clients, sessions, policy, map and stats");
	if (c->what != NULL && strcmp(words[1], c->what) != 0)
		unknown_word(words[1], c->word);
	if (c->arg != NULL && n < 2)
		usage_error("%s needs %s", c->word, c->arg_help);
	wanted = 1 + (c->what != NULL) + (c->arg != NULL);
	if (n > wanted)
		usage_error("unexpected argument \"%s\"", words[wanted]);
	return c;
}

/* For the caller to free; NULL: the reason is on stderr. */
static char *
socket_path(const struct options *o)
{
	const char *env = getenv("SMBGATE_CONTROL");
	struct errlist e = { .n = 0 };
	struct conf *conf;
	char *path = NULL;

	if (o->conf == NULL)
		return strdup(o->socket != NULL        ? o->socket
		        : env != NULL && env[0] != '\0' ? env
		                                        : DEFAULT_SOCKET);
	conf = conf_load(o->conf, &e);
	if (conf != NULL)
		path = strdup(conf->control);
	for (size_t i = 0; i < e.n; i++)
		fprintf(stderr, "%s\n", e.text[i]);
	errlist_fini(&e);
	conf_free(&conf);
	return path;
}

static void
print_error(const json_t *answer)
{
	const json_t *line;
	size_t i;

	json_array_foreach(json_object_get(answer, "errors"), i, line)
		fprintf(stderr, "%s\n", json_string_value(line));
	fprintf(stderr, "smbgatectl: %s\n", json_string_value(json_object_get(answer, "error")));
}

/* The exit status. */
static int
ctl_run(const struct options *o, const struct command *c, const char *arg)
{
	json_t *request = json_pack("{s:s, s:s*, s:s*}", "cmd", c->word, "what", c->sent,
	    c->arg == NULL ? "arg" : c->arg, arg);
	char *path = socket_path(o);
	json_t *answer = NULL;
	bool good;

	if (request == NULL)
		fprintf(stderr, "smbgatectl: \"%s\" is not UTF-8 text\n", arg == NULL ? "" : arg);
	else if (o->describe)
		json_object_set_new(request, "describe", json_true());
	if (request != NULL && path != NULL)
		answer = ask(path, request);
	json_decref(request);
	free(path);
	if (answer == NULL)
		return EXIT_FAILURE;
	good = json_object_get(answer, "error") == NULL;
	if (o->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (good) {
		c->show(answer, o->all, stdout);
	} else {
		print_error(answer);
	}
	json_decref(answer);
	if (fflush(stdout) == EOF || ferror(stdout)) {
		fprintf(stderr, "smbgatectl: cannot write: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	struct options o = { .socket = NULL };
	const struct command *c;

	parse_options(&o, argc, argv);
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	c = parse_words(argc - optind, argv + optind);
	if (o.describe && c->show != show_stats)
		usage_error("--describe goes with show stats");
	return ctl_run(&o, c, c->arg != NULL ? argv[optind + 1] : NULL);
}
