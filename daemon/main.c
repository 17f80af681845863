/* main.c: program smbgate: arguments, order of start, privileges, background */
#include "config.h"

#include "auth/secret.h"
#include "auth/tls.h"
#include "base/log.h"
#include "daemon/clusters.h"
#include "daemon/confine.h"
#include "daemon/ctl.h"
#include "daemon/gate.h"
#include "daemon/guard.h"
#include "daemon/keyfiles.h"
#include "daemon/passed.h"
#include "daemon/places.h"
#include "daemon/preflight.h"
#include "daemon/privs.h"
#include "daemon/takeover.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/print.h"
#include "policy/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_CONF "/etc/smbgate/smbgate.conf"
#define EXIT_USAGE 2

struct options {
	const char *conf;
	bool check, background, takeover, verbose;
};

static void
usage(FILE *out)
{
	fputs("usage: smbgate [-c smbgate.conf] [-t | -d] [-u] [-v]\n"
	      "\n"
	      "  -c, --config FILE   the configuration, read once at the start\n"
	      "                      (default " DEFAULT_CONF ")\n"
	      "  -t, --test          check both files, list every error, and exit\n"
	      "  -d, --daemon        go to the background when ready; log to syslog\n"
	      "  -u, --takeover      go on for the smbgate that runs: its sockets, and its\n"
	      "                      clients' connections, as they stand\n"
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
		{ "takeover", no_argument, NULL, 'u' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .conf = DEFAULT_CONF };
	while ((c = getopt_long(argc, argv, "c:tduvVh", longs, NULL)) != -1) {
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
		case 'u':
			o->takeover = true;
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

/* Who is named has an account; of users only where smbgate becomes one. */
static void
check_accounts(const struct options *o, const struct conf *c, struct errlist *e)
{
	const struct {
		const char *name;
		int line;
	} users[] = { { c->user, c->user_line }, { c->keyd_user, c->keyd_user_line } };

	for (size_t i = 0; geteuid() == 0 && i < sizeof(users) / sizeof(users[0]); i++)
		if (users[i].name != NULL && getpwnam(users[i].name) == NULL)
			errlist_add(e, o->conf, users[i].line, "user \"%s\" does not exist",
			    users[i].name);
	if (c->control_group != NULL && getgrnam(c->control_group) == NULL)
		errlist_add(e, o->conf, c->group_line, "control-group \"%s\" does not exist",
		    c->control_group);
}

/* Both files and the secret, or every error of all of them. */
static int
load_all(const struct options *o, struct conf **conf, struct policy **policy, struct secret *secret,
    struct tls **tls)
{
	struct errlist e = { .n = 0 };
	int r = 0;

	*policy = NULL;
	*tls = NULL;
	secret->len = 0;
	*conf = conf_load(o->conf, &e);
	if (*conf != NULL) {
		check_accounts(o, *conf, &e);
		keyfiles_load(*conf, o->conf, secret, tls, &e);
		*policy = schema_load((*conf)->policy, &e);
		if (*policy != NULL)
			clusters_check(*conf, *policy, &e);
	}
	if (e.total > 0) {
		print_errors(&e);
		r = -1;
	}
	errlist_fini(&e);
	return r;
}

/* Both files are good: what of them does not fit this machine? The exit status. */
static int
test(const struct conf *conf, const struct policy *p, struct tls *tls)
{
	struct errlist e = { .n = 0 }, w = { .warnings = true };
	bool good;

	preflight(conf, p, &e, &w);
	/* Last of all as the user that smbgate would be. */
	good = e.total == 0 && privs_try(conf) == 0;
	if (good)
		keyfiles_warn(conf, tls, &w);
	print_errors(&w);
	print_errors(&e);
	errlist_fini(&w);
	errlist_fini(&e);
	if (!good)
		return EXIT_FAILURE;
	clusters_say(conf, p);
	policy_print_listeners(p, stdout);
	printf("%s and %s are good\n", conf->path, conf->policy);
	return EXIT_SUCCESS;
}

/* What smbgate starts with all the same. tls: keyfiles_warn() has its turn. */
static void
log_warnings(const struct conf *conf, struct tls *tls, bool user)
{
	struct errlist w = { .n = 0 };

	if (user)
		keyfiles_warn(conf, tls, &w);
	else
		keyfiles_keytab(conf, false, &w);
	for (size_t i = 0; i < w.n; i++)
		log_warn("%s", w.text[i]);
	errlist_fini(&w);
}

/* Only now can CAP_NET_RAW be kept for a policy that will use the clients' addresses. */
static bool
wants_raw(const struct conf *conf, const struct policy *p)
{
	return policy_source(p, POL_SOURCE_TRANSPARENT) != NULL || conf_intercepts(conf);
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

/* While it may be opened; -1: it is not wanted, or the reason is logged. */
static int
open_pid(const char *path)
{
	int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (path != NULL && fd == -1)
		log_warn("cannot write %s: %s", path, strerror(errno));
	return fd;
}

/* Another smbgate may have served until now, and its number may be longer. */
static void
write_pid(int *fd)
{
	char text[32];
	const int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (*fd == -1)
		return;
	if (ftruncate(*fd, 0) == -1 || write(*fd, text, (size_t)n) != n)
		log_warn("cannot write the pid file: %s", strerror(errno));
	close(*fd);
	*fd = -1;
}

struct ready {
	const struct conf *conf;
	int *pid_file;
	int fd;			/* where the parent waits; -1: nowhere */
};

static void
begin_cb(void *arg)
{
	const struct ready *r = arg;

	if (r->conf->confine)
		confine_calls();
}

static void
ready_cb(void *arg)
{
	struct ready *r = arg;

	write_pid(r->pid_file);
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_START),
	    "smbgate " PACKAGE_VERSION " is ready");
	if (r->fd == -1)
		return;
	if (write(r->fd, "", 1) != 1)
		log_warn("cannot report readiness: the process that started smbgate is gone");
	close(r->fd);
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
	char path[CTL_PATH_MAX];

	unlink(conf->control);
	if (ctl_successors_path(conf->control, path) == 0)
		unlink(path);
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

static int
ask_for_all(struct gate_sockets *s, const struct conf *conf)
{
	char path[CTL_PATH_MAX];

	if (ctl_successors_path(conf->control, path) == 0)
		s->takeover = takeover_begin(path, conf_workers(conf), s->places);
	return s->takeover == NULL ? -1 : 0;
}

/*
 * Everything up to a gate that can run. Takes over the reference to the policy. NULL: the reason is
 * logged. What *s holds by then is the caller's to end.
 */
static struct gate *
smbgate_start(const struct options *o, struct conf *conf, struct policy *policy,
    struct secret *secret, struct gate_sockets *s)
{
	if (o->takeover && ask_for_all(s, conf) == -1)
		goto fail;
	if (gate_bind(s, conf) == -1)
		goto fail;
	s->pid_file = open_pid(conf->pid_file);
	if (conf->keytab != NULL) {
		s->guard = guard_new(conf, s->nworkers, o->background, secret);
		if (s->guard == NULL)
			goto fail;
	}
	if (privs_drop(conf, wants_raw(conf, policy), &s->transparent) == -1)
		goto fail;
	gate_warn(conf, policy);
	log_warnings(conf, s->tls, true);
	if (secret->len == 0)
		log_info("no cluster-secret: placement is not keyed");
	if (s->guard != NULL && guard_wait(s->guard) == -1)
		goto fail;
	/* Without syslog stderr is the last resort, terminal or not. */
	if (o->background && log_open(true, conf->log_format, log_get_level()) == -1)
		log_warn("there is no syslog at /dev/log (%s): the log stays on standard error",
		    strerror(errno));
	if (conf->confine)
		confine_files(conf, policy);
	return gate_new(conf, policy, secret, s);
fail:
	/* Who serves is told, and serves on. */
	takeover_free(&s->takeover);
	policy_unref(&policy);
	return NULL;
}

static int
smbgate_serve(const struct options *o, struct conf *conf, struct policy *policy,
    struct secret *secret, struct tls *tls)
{
	struct gate_sockets sockets = { .control = -1, .successors = -1, .http = -1,
		.pid_file = -1, .process.statm = -1, .tls = tls };
	struct ready ready = { .conf = conf, .pid_file = &sockets.pid_file, .fd = -1 };
	char why[PASSED_WHY];
	struct gate *g;
	int status = EXIT_FAILURE;
	bool owns = !o->takeover;

	process_memory();
	if (o->verbose)
		conf->log_level = LOG_LEVEL_DEBUG;
	log_open(false, conf->log_format, conf->log_level);
	log_warnings(conf, NULL, false);
	block_signals();
	sockets.places = places_raise(conf_workers(conf), (unsigned)conf->nlisten, conf->http);
	privs_begin();
	if (passed_take(&sockets.passed, why) == -1) {
		log_error("sockets from the service manager: %s", why);
		policy_unref(&policy);
		return EXIT_FAILURE;
	}
	if (o->background && to_background(&ready.fd) == -1) {
		policy_unref(&policy);
		return EXIT_FAILURE;
	}
	confine_memory(conf, secret);
	g = smbgate_start(o, conf, policy, secret, &sockets);
	if (g != NULL) {
		if (o->background)
			leave_terminal();
		if (gate_run(g, begin_cb, ready_cb, &ready) == 0)
			status = EXIT_SUCCESS;
		owns = gate_owns(g);
		gate_free(&g);
	}
	free(sockets.listening);
	guard_free(&sockets.guard);
	process_close(&sockets.process);
	log_catch_up();
	/* Not before the socket is ours: another smbgate may serve there. */
	if (sockets.control != -1 && owns)
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
	struct tls *tls;
	int status = EXIT_FAILURE;

	parse_options(&o, argc, argv);
	if (load_all(&o, &conf, &policy, &secret, &tls) == -1) {
		policy_unref(&policy);
	} else if (o.check) {
		status = test(conf, policy, tls);
		policy_unref(&policy);
	} else {
		status = smbgate_serve(&o, conf, policy, &secret, tls);
	}
	tls_free(&tls);
	secret_fini(&secret);
	conf_free(&conf);
	return status;
}
