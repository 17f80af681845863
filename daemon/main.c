/* main.c: program smbgate: arguments, order of start, privileges, background */
#include "config.h"

#include "auth/secret.h"
#include "base/log.h"
#include "daemon/gate.h"
#include "daemon/guard.h"
#include "daemon/listeners.h"
#include "daemon/places.h"
#include "daemon/privs.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define DEFAULT_CONF "/etc/smbgate/smbgate.conf"
#define EXIT_USAGE 2

struct options {
	const char *conf;
	bool check, background, verbose;
};

static void
usage(FILE *out)
{
	fputs("usage: smbgate [-c smbgate.conf] [-t | -d] [-v]\n"
	      "\n"
	      "  -c, --config FILE   the configuration, read once at the start\n"
	      "                      (default " DEFAULT_CONF ")\n"
	      "  -t, --test          check both files, list every error, and exit\n"
	      "  -d, --daemon        go to the background when ready; log to syslog\n"
	      "  -v, --verbose       log more\n"
	      "  -V, --version       print the version, and exit\n"
	      "  -h, --help          print this, and exit\n"
	      "\n"
	      "SIGHUP reloads the policy; one with errors changes nothing. SIGTERM stops smbgate.\n"
	      "Exit status: 0 success, 1 failure, 2 a wrong command line.\n",
	    out);
}

/* Ends the program where that is due. */
static void
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "test", no_argument, NULL, 't' },
		{ "daemon", no_argument, NULL, 'd' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .conf = DEFAULT_CONF };
	while ((c = getopt_long(argc, argv, "c:tdvVh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->conf = optarg;
			break;
		case 't':
			o->check = true;
			break;
		case 'd':
			o->background = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'V':
			puts("smbgate " PACKAGE_VERSION);
			exit(EXIT_SUCCESS);
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			/* getopt_long() has said what is wrong. */
			fputs("smbgate: see smbgate --help\n", stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "smbgate: unknown argument \"%s\"; see smbgate --help\n",
		    argv[optind]);
		exit(EXIT_USAGE);
	}
}

static void
print_errors(const struct errlist *e)
{
	for (size_t i = 0; i < e->n; i++)
		fprintf(stderr, "%s\n", e->text[i]);
	if (e->total > e->n)
		fprintf(stderr, "%zu more error%s\n", e->total - e->n,
		    e->total - e->n == 1 ? "" : "s");
}

static bool
user_is_missing(const struct options *o, const char *name)
{
	if (name == NULL || geteuid() != 0 || getpwnam(name) != NULL)
		return false;
	fprintf(stderr, "%s: user \"%s\" does not exist\n", o->conf, name);
	return true;
}

/* Both files and the secret, or every error of all of them. */
static int
load_all(const struct options *o, struct conf **conf, struct policy **policy, struct secret *secret)
{
	struct errlist e = { .n = 0 };
	const char *why;
	int r = 0;

	*policy = NULL;
	*conf = conf_load(o->conf, &e);
	if (*conf != NULL)
		*policy = schema_load((*conf)->policy, &e);
	if (e.total > 0) {
		print_errors(&e);
		r = -1;
	}
	errlist_fini(&e);
	secret->len = 0;
	if (*conf != NULL && (*conf)->cluster_secret != NULL &&
	    secret_load(secret, (*conf)->cluster_secret, &why) == -1) {
		fprintf(stderr, "%s: cluster-secret %s: %s\n", o->conf, (*conf)->cluster_secret,
		    why);
		r = -1;
	}
	if (*conf != NULL && conf_password(*conf, &why) == -1) {
		fprintf(stderr, "%s: password-file %s: %s\n", o->conf, (*conf)->redis_password,
		    why);
		r = -1;
	}
	if (*conf != NULL &&
	    (user_is_missing(o, (*conf)->user) || user_is_missing(o, (*conf)->keyd_user)))
		r = -1;
	return r;
}

/* What only the machine can tell: a node that is smbgate itself. 0, or -1: it is printed. */
static int
check_nodes(const struct conf *conf, const struct policy *p)
{
	struct errlist e = { .n = 0 };
	int r;

	listeners_check(conf, p, &e);
	print_errors(&e);
	r = e.total == 0 ? 0 : -1;
	errlist_fini(&e);
	return r;
}

/* Only now can CAP_NET_RAW be kept for a policy that will use the clients' addresses. */
static bool
wants_raw(const struct conf *conf, const struct policy *p)
{
	bool raw = p->source == POL_SOURCE_TRANSPARENT;

	for (size_t i = 0; i < conf->nlisten; i++)
		raw |= conf->listen[i].intercept;
	return raw;
}

/* The parent waits until the child serves, so that "smbgate -d && mount" works. */
static int
to_background(int *ready_fd)
{
	int fds[2];
	char byte;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1 || (pid = fork()) == -1) {
		log_error("cannot go to the background: %s", strerror(errno));
		return -1;
	}
	if (pid > 0) {
		close(fds[1]);
		_exit(read(fds[0], &byte, 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	close(fds[0]);
	setsid();
	*ready_fd = fds[1];
	return 0;
}

static void
write_pid(const char *path)
{
	FILE *f = path == NULL ? NULL : fopen(path, "we");

	if (path == NULL)
		return;
	if (f == NULL || fprintf(f, "%ld\n", (long)getpid()) < 0)
		log_warn("cannot write %s: %s", path, strerror(errno));
	if (f != NULL)
		fclose(f);
}

static void
ready_cb(void *arg)
{
	int *fd = arg;

#ifdef HAVE_LIBSYSTEMD
	sd_notify(0, "READY=1");
#endif
	log_info("smbgate " PACKAGE_VERSION " is ready");
	if (*fd == -1)
		return;
	if (write(*fd, "", 1) != 1)
		log_warn("cannot report readiness: the process that started smbgate is gone");
	close(*fd);
}

/* Log lines go to syslog by now; earlier ones went to the stderr of the parent. */
static void
leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null == -1)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (log_has_syslog())
		dup2(null, STDERR_FILENO);
	if (chdir("/") == -1)
		log_warn("cannot leave the working directory: %s", strerror(errno));
}

static void
clean_up(const struct conf *conf)
{
	unlink(conf->control);
	if (conf->pid_file != NULL)
		unlink(conf->pid_file);
}

/* A signal that comes while smbgate starts waits until gate_run() can handle it. */
static void
block_signals(void)
{
	sigset_t later;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&later);
	sigaddset(&later, SIGHUP);
	sigaddset(&later, SIGTERM);
	sigaddset(&later, SIGINT);
	sigprocmask(SIG_BLOCK, &later, NULL);
}

/*
 * Everything up to a gate that can run. Takes over the reference to the policy. NULL: the reason is
 * logged. What *s holds by then is the caller's to end.
 */
static struct gate *
smbgate_start(const struct options *o, struct conf *conf, struct policy *policy,
    struct secret *secret, struct gate_sockets *s)
{
	if (gate_bind(s, conf) == -1)
		goto fail;
	write_pid(conf->pid_file);
	if (conf->keytab != NULL) {
		s->guard = guard_new(conf, s->nworkers, o->background, o->verbose, secret);
		if (s->guard == NULL)
			goto fail;
	}
	if (privs_drop(conf, wants_raw(conf, policy), &s->transparent) == -1)
		goto fail;
	gate_warn(conf, policy);
	if (secret->len == 0)
		log_info("no cluster-secret: placement is not keyed");
	if (s->guard != NULL && guard_wait(s->guard) == -1)
		goto fail;
	/* Without syslog stderr is the last resort, terminal or not. */
	if (o->background && log_open(true, o->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO) == -1)
		log_warn("there is no syslog at /dev/log (%s): the log stays on standard error",
		    strerror(errno));
	return gate_new(conf, policy, secret, s);
fail:
	policy_unref(&policy);
	return NULL;
}

static int
smbgate_serve(const struct options *o, struct conf *conf, struct policy *policy,
    struct secret *secret)
{
	struct gate_sockets sockets = { .control = -1 };
	struct gate *g;
	int ready_fd = -1, status = EXIT_FAILURE;

	log_open(false, o->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	block_signals();
	sockets.places = places_raise(conf_workers(conf), (unsigned)conf->nlisten);
	privs_begin();
	if (o->background && to_background(&ready_fd) == -1) {
		policy_unref(&policy);
		return EXIT_FAILURE;
	}
	g = smbgate_start(o, conf, policy, secret, &sockets);
	free(sockets.fds);
	if (g != NULL) {
		if (o->background)
			leave_terminal();
		gate_run(g, ready_cb, &ready_fd);
		gate_free(&g);
		status = EXIT_SUCCESS;
	}
	guard_free(&sockets.guard);
	/* Not before the socket is ours: another smbgate may serve there. */
	if (sockets.control != -1)
		clean_up(conf);
	return status;
}

int
main(int argc, char **argv)
{
	struct secret secret;
	struct policy *policy;
	struct options o;
	struct conf *conf;
	int status = EXIT_FAILURE;

	parse_options(&o, argc, argv);
	if (load_all(&o, &conf, &policy, &secret) == -1) {
		policy_unref(&policy);
	} else if (o.check) {
		gate_warn(conf, policy);
		if (check_nodes(conf, policy) == 0) {
			printf("%s and %s are good\n", conf->path, conf->policy);
			status = EXIT_SUCCESS;
		}
		policy_unref(&policy);
	} else {
		status = smbgate_serve(&o, conf, policy, &secret);
	}
	secret_fini(&secret);
	conf_free(&conf);
	return status;
}
