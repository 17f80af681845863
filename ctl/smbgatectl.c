/* smbgatectl.c: program smbgatectl: asks a running smbgate over its control socket */
#include "config.h"

#include "ctl/show.h"
#include "policy/conf.h"
#include "policy/errlist.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#define DEFAULT_SOCKET "/run/smbgate/control.sock"
#define EXIT_USAGE 2

/* Longer than smbgate takes to say that a worker does not answer. */
#define ANSWER_S 30

struct options {
	const char *socket, *conf;
	bool json, all;
};

/* Every request there is; what: the object of show; arg: the key of the argument that follows. */
static const struct command {
	const char *word, *what, *arg;
	void (*show)(const json_t *answer, bool all, FILE *out);
} commands[] = {
	{ "show", "nodes", NULL, show_nodes },
	{ "show", "clients", NULL, show_clients },
	{ "show", "sessions", NULL, show_sessions },
	{ "show", "policy", NULL, show_policy },
	{ "show", "state", NULL, show_state },
	{ "show", "stats", NULL, show_stats },
	{ "explain", NULL, "who", show_explain },
	{ "drain", NULL, "node", show_drain },
	{ "undrain", NULL, "node", show_drain },
	{ "reload", NULL, NULL, show_reload },
};

static void
usage(FILE *out)
{
	fputs("usage: smbgatectl [-s SOCKET | -c smbgate.conf] [--json] COMMAND\n"
	      "\n"
	      "  show nodes          nodes, their state and load\n"
	      "  show clients        clients, their node and what they were told\n"
	      "  show sessions       sessions, their protection and what they were told\n"
	      "  show policy         the policy in force\n"
	      "  show state          the map of claims, and Redis where it is there\n"
	      "  show stats          counters; --all: those that are zero, too\n"
	      "  explain WHO         why a client has one channel or several: its address or GUID, a\n"
	      "                      session, or a part of a user's name\n"
	      "  drain NODE          no new clients for a node; live ones stay\n"
	      "  undrain NODE\n"
	      "  reload              read policy.conf again; a broken one changes nothing\n"
	      "\n"
	      "  -s, --socket PATH   the control socket (default " DEFAULT_SOCKET ")\n"
	      "  -c, --config FILE   the smbgate.conf that names it\n"
	      "  -j, --json          the answer as JSON\n"
	      "  -a, --all\n"
	      "  -V, --version\n"
	      "  -h, --help\n"
	      "\n"
	      "SMBGATE_CONTROL names the socket where neither -s nor -c does.\n",
	    out);
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
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "s:c:jaVh", longs, NULL)) != -1) {
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
		case 'V':
			puts("smbgatectl " PACKAGE_VERSION);
			exit(EXIT_SUCCESS);
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			usage(stderr);
			exit(EXIT_USAGE);
		}
	}
	if (o->socket != NULL && o->conf != NULL) {
		fputs("smbgatectl: either -s or -c\n", stderr);
		exit(EXIT_USAGE);
	}
}

/* The command of these words, or NULL when they are none. */
static const struct command *
parse_words(int n, char **words)
{
	for (size_t i = 0; n > 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];
		int wanted = 1 + (c->what != NULL) + (c->arg != NULL);

		if (strcmp(words[0], c->word) == 0 && n == wanted &&
		    (c->what == NULL || strcmp(words[1], c->what) == 0))
			return c;
	}
	return NULL;
}

/* For the caller to free; NULL: the reason has been said. */
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

/* -1: the reason has been said. */
static int
connect_to(const char *path)
{
	const struct timeval wait = { ANSWER_S, 0 };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		fprintf(stderr, "smbgatectl: %s: too long for a socket's path\n", path);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1) {
		fprintf(stderr, "smbgatectl: %s\n", strerror(errno));
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == -1) {
		fprintf(stderr, "smbgatectl: %sconnect %s: %s\n",
		    errno == ENOENT || errno == ECONNREFUSED ? "smbgate is not running? " : "", path,
		    strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

/* As one line. -1: the reason has been said. */
static int
send_request(int fd, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	ssize_t n;
	int len;

	len = text == NULL ? -1 : asprintf(&line, "%s\n", text);
	free(text);
	if (len == -1) {
		fputs("smbgatectl: out of memory\n", stderr);
		return -1;
	}
	n = send(fd, line, (size_t)len, MSG_NOSIGNAL);
	free(line);
	if (n != len) {
		fprintf(stderr, "smbgatectl: cannot ask: %s\n", strerror(n == -1 ? errno : EMSGSIZE));
		return -1;
	}
	return 0;
}

/* Everything up to the end; takes over fd. NULL: the reason has been said. */
static json_t *
read_answer(int fd)
{
	FILE *f = fdopen(fd, "r");
	json_error_t why;
	json_t *answer;

	if (f == NULL) {
		fprintf(stderr, "smbgatectl: %s\n", strerror(errno));
		close(fd);
		return NULL;
	}
	errno = 0;
	answer = json_loadf(f, 0, &why);
	if (answer == NULL && ferror(f))
		fprintf(stderr, "smbgatectl: no answer: %s\n",
		    errno == EAGAIN ? "smbgate takes too long" : strerror(errno));
	else if (answer == NULL)
		fprintf(stderr, "smbgatectl: no answer that can be understood: %s\n", why.text);
	fclose(f);
	return answer;
}

static json_t *
ask(const char *path, const json_t *request)
{
	int fd = connect_to(path);

	if (fd == -1)
		return NULL;
	if (send_request(fd, request) == -1) {
		close(fd);
		return NULL;
	}
	return read_answer(fd);
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
run(const struct options *o, const struct command *c, const char *arg)
{
	json_t *request = json_pack("{s:s, s:s*, s:s*}", "cmd", c->word, "what", c->what,
	    c->arg == NULL ? "arg" : c->arg, arg);
	char *path = socket_path(o);
	json_t *answer = NULL;
	bool good;

	if (request == NULL)
		fputs("smbgatectl: a name is UTF-8 text\n", stderr);
	else if (path != NULL)
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
	c = parse_words(argc - optind, argv + optind);
	if (c == NULL) {
		if (optind < argc)
			fputs("smbgatectl: no such command\n", stderr);
		usage(stderr);
		return EXIT_USAGE;
	}
	return run(&o, c, c->arg != NULL ? argv[optind + 1] : NULL);
}
