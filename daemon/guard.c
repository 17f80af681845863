/* guard.c: the process that keeps the privileges: opens the keytab, starts smbgate-keyd again */
#include "config.h"

#include "daemon/guard.h"

#include "auth/keymsg.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "policy/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 *	smbgate ◄──workers' sockets── guard ──keytab's descriptor──► smbgate-keyd
 *
 * The guard parses nothing and answers nobody: it opens one file and starts one program.
 */

/* In the range that systemd's UIDS-GIDS documents as nobody's: an own user without an account. */
#define KEYD_UID 61183

#define START_WAIT_MS 5000
#define STAT_MS 1000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
/* Who lived that long was well. */
#define ALIVE_MS 10000

/* Packets between smbgate and its guard: the first byte. */
#define WORKER 'W'		/* from the guard: a worker's index, its socket comes with it */
#define SERVES 'S'		/* from the guard: the first smbgate-keyd is there */
#define UNFIT 'U'		/* from the guard: it cannot be; a text follows */
#define RELOAD 'H'		/* to the guard */
#define PACKET_MAX 256

struct guard {
	int fd;
	pid_t pid;
	void (*keyd)(void *arg, unsigned worker, int fd);
	void *arg;
	int held[CONF_WORKERS_MAX];	/* -1: none */
};

/* What tells one state of the keytab from the next. */
struct stamp {
	int error;			/* errno of stat() */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

/* In the guard's process. */
struct post {
	const char *keytab, *program;
	char **argv, **envp;
	unsigned nworkers;
	int main_fd;
	int keyd_fd;			/* -1: there is none */
	pid_t keyd;
	bool served;			/* there has been one that serves */
	bool over;			/* the first one was unfit: nothing is left to do */
	char unfit[PACKET_MAX];		/* what it said before it died */
	uint64_t started_ms, restart_ms, stat_ms;
	unsigned backoff_ms;
	struct stamp given;
};

static int __attribute__((format(printf, 3, 4)))
send_text(int to, char what, const char *fmt, ...)
{
	char packet[PACKET_MAX] = { what };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(packet + 1, sizeof(packet) - 1, fmt, ap);
	va_end(ap);
	return fdpass_send(to, packet, 1 + strlen(packet + 1), -1, MSG_DONTWAIT);
}

static struct stamp
stamp_of(const struct stat *st)
{
	return (struct stamp){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
}

static bool
same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->error == b->error && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
	    a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec;
}

static bool
changed(const struct post *p)
{
	struct stamp now;
	struct stat st;

	if (stat(p->keytab, &st) == -1)
		now = (struct stamp){ .error = errno };
	else
		now = stamp_of(&st);
	return !same_stamp(&now, &p->given);
}

/* A stamp that nothing has: it will be looked at again. */
static const struct stamp no_stamp = { .error = -1 };

static void
give_keytab(struct post *p)
{
	int fd = open(p->keytab, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), r;
	struct stat st;

	if (fd == -1) {
		p->given = (struct stamp){ .error = errno };
		r = send_text(p->keyd_fd, KEYTAB_ABSENT, "%s: %s", p->keytab, strerror(errno));
	} else if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		p->given = stamp_of(&st);
		r = send_text(p->keyd_fd, KEYTAB_ABSENT, "%s: not a regular file", p->keytab);
	} else {
		const char what = KEYTAB_FILE;

		if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
			log_warn("keytab %s: others than its owner can use it: chmod 600", p->keytab);
		p->given = stamp_of(&st);
		r = fdpass_send(p->keyd_fd, &what, 1, fd, MSG_DONTWAIT);
	}
	if (r == -1)
		p->given = no_stamp;
	if (fd != -1)
		close(fd);
}

/* In the child: sockets[] become 3, 4, ...; nothing else is left but the log. */
static void
exec_keyd(const struct post *p, const int *sockets)
{
	int n = (int)p->nworkers + 1;
	int moved[CONF_WORKERS_MAX + 1];

	for (int i = 0; i < n; i++)
		moved[i] = fcntl(sockets[i], F_DUPFD_CLOEXEC, KEYD_GUARD_FD + n);
	for (int i = 0; i < n; i++)
		if (moved[i] == -1 || dup2(moved[i], KEYD_GUARD_FD + i) == -1)
			_exit(EXIT_FAILURE);
	close_range((unsigned)(KEYD_GUARD_FD + n), UINT_MAX, 0);
	execve(p->program, p->argv, p->envp);
	send_text(KEYD_GUARD_FD, KEYD_UNFIT, "%s cannot be run: %s", p->program, strerror(errno));
	_exit(EXIT_FAILURE);
}

static void
close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] != -1)
			close(fds[i]);
}

/* One pair for the guard, and one for each worker: ours[] and theirs[]. */
static int
make_sockets(size_t n, int *ours, int *theirs)
{
	for (size_t i = 0; i < n; i++)
		ours[i] = theirs[i] = -1;
	for (size_t i = 0; i < n; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1) {
			log_error("smbgate-keyd cannot be started: %s", strerror(errno));
			close_all(ours, n);
			close_all(theirs, n);
			return -1;
		}
		ours[i] = pair[0];
		theirs[i] = pair[1];
	}
	return 0;
}

static void
try_again(struct post *p)
{
	uint64_t now = clock_ms();

	if (now - p->started_ms >= ALIVE_MS || p->backoff_ms == 0)
		p->backoff_ms = BACKOFF_MIN_MS;
	else if ((p->backoff_ms *= 2) > BACKOFF_MAX_MS)
		p->backoff_ms = BACKOFF_MAX_MS;
	p->restart_ms = now + p->backoff_ms;
}

static void
start_keyd(struct post *p)
{
	int ours[CONF_WORKERS_MAX + 1], theirs[CONF_WORKERS_MAX + 1];
	size_t n = p->nworkers + 1;

	p->started_ms = clock_ms();
	p->unfit[0] = '\0';
	if (make_sockets(n, ours, theirs) == -1) {
		try_again(p);
		return;
	}
	p->keyd = fork();
	if (p->keyd == 0)
		exec_keyd(p, theirs);
	close_all(theirs, n);
	if (p->keyd == -1) {
		log_error("smbgate-keyd cannot be started: %s", strerror(errno));
		close_all(ours, n);
		try_again(p);
		return;
	}
	p->keyd_fd = ours[0];
	for (unsigned i = 0; i < p->nworkers; i++) {
		const uint8_t packet[3] = { WORKER, (uint8_t)i, (uint8_t)(i >> 8) };

		if (fdpass_send(p->main_fd, packet, sizeof(packet), ours[1 + i], 0) == -1)
			log_error("worker %u cannot be told of smbgate-keyd: %s", i, strerror(errno));
		close(ours[1 + i]);
	}
	give_keytab(p);
}

static void
describe_death(char *dst, size_t cap, int status)
{
	if (WIFSIGNALED(status))
		snprintf(dst, cap, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(dst, cap, "exit status %d", WEXITSTATUS(status));
}

/* Its socket is closed, so it is dead or of no use. */
static void
bury_keyd(struct post *p)
{
	char how[64] = "unknown";
	int status;

	close(p->keyd_fd);
	p->keyd_fd = -1;
	kill(p->keyd, SIGKILL);
	while (waitpid(p->keyd, &status, 0) == -1 && errno == EINTR)
		continue;
	describe_death(how, sizeof(how), status);
	p->keyd = -1;
	if (!p->served) {
		if (p->unfit[0] != '\0')
			send_text(p->main_fd, UNFIT, "%s", p->unfit);
		else
			send_text(p->main_fd, UNFIT, "it died at its start: %s", how);
		p->over = true;
		return;
	}
	try_again(p);
	log_error("smbgate-keyd died: %s%s%s; it is started again in %u ms", how,
	    p->unfit[0] != '\0' ? ": " : "", p->unfit, p->backoff_ms);
}

static void
read_keyd(struct post *p)
{
	char packet[PACKET_MAX];
	const char same = KEYTAB_SAME, serves = SERVES;
	int fd;
	ssize_t n = fdpass_recv(p->keyd_fd, packet, sizeof(packet) - 1, &fd, MSG_DONTWAIT);

	if (fd != -1)
		close(fd);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0) {
		bury_keyd(p);
		return;
	}
	packet[n] = '\0';
	switch (packet[0]) {
	case KEYTAB_WANTED:
		if (changed(p))
			give_keytab(p);
		else
			fdpass_send(p->keyd_fd, &same, 1, -1, MSG_DONTWAIT);
		break;
	case KEYD_SERVES:
		if (!p->served)
			fdpass_send(p->main_fd, &serves, 1, -1, 0);
		p->served = true;
		break;
	case KEYD_UNFIT:
		snprintf(p->unfit, sizeof(p->unfit), "%s", packet + 1);
		break;
	}
}

/* smbgate is gone, and so everything else goes. */
static void
end(struct post *p)
{
	int status;

	if (p->keyd > 0) {
		kill(p->keyd, SIGKILL);
		close(p->keyd_fd);
		while (waitpid(p->keyd, &status, 0) == -1 && errno == EINTR)
			continue;
	}
	_exit(EXIT_SUCCESS);
}

static void
read_main(struct post *p)
{
	char packet[PACKET_MAX];
	int fd;
	ssize_t n = fdpass_recv(p->main_fd, packet, sizeof(packet), &fd, MSG_DONTWAIT);

	if (fd != -1)
		close(fd);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0)
		end(p);
	if (packet[0] == RELOAD && p->keyd_fd != -1)
		give_keytab(p);
}

static int
wait_ms(const struct post *p, uint64_t now)
{
	uint64_t then = p->keyd_fd != -1 ? p->stat_ms : p->restart_ms;

	return p->over ? -1 : then > now ? (int)(then - now) : 0;
}

static void __attribute__((noreturn))
stand(struct post *p)
{
	start_keyd(p);
	p->stat_ms = clock_ms() + STAT_MS;
	for (;;) {
		struct pollfd polls[2] = {
			{ .fd = p->main_fd, .events = POLLIN },
			{ .fd = p->keyd_fd, .events = POLLIN },
		};
		uint64_t now;

		if (poll(polls, 2, wait_ms(p, clock_ms())) == -1 && errno != EINTR)
			end(p);
		if (polls[0].revents != 0)
			read_main(p);
		if (p->keyd_fd != -1 && polls[1].revents != 0)
			read_keyd(p);
		now = clock_ms();
		if (p->keyd_fd == -1 && !p->over && now >= p->restart_ms)
			start_keyd(p);
		if (p->keyd_fd != -1 && now >= p->stat_ms) {
			p->stat_ms = now + STAT_MS;
			if (changed(p))
				give_keytab(p);
		}
	}
}

/* Without what smbgate has and the guard must not: descriptors, the secret, the way with signals. */
static int
become_guard(int *fd, bool use_syslog, bool verbose, struct secret *secret)
{
	const struct rlimit none = { 0, 0 };
	int null = open("/dev/null", O_RDWR);
	sigset_t empty;

	secret_fini(secret);
	prctl(PR_SET_NAME, "smbgate-guard");
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	if (null == -1 || dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1 ||
	    (use_syslog && dup2(null, STDERR_FILENO) == -1))
		return -1;
	if (*fd != STDERR_FILENO + 1 && dup3(*fd, STDERR_FILENO + 1, O_CLOEXEC) == -1)
		return -1;
	*fd = STDERR_FILENO + 1;
	close_range(STDERR_FILENO + 2, UINT_MAX, 0);
	log_open(use_syslog, verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	return chdir("/");
}

/* An own user where possible: who reads smbgate's memory, or is it, does not read the keytab. */
static void
identity(const struct conf *conf, uid_t *uid, gid_t *gid)
{
	const char *name = conf->keyd_user != NULL ? conf->keyd_user : "smbgate-keyd";
	const struct passwd *pw = getpwnam(name);

	*uid = pw == NULL ? KEYD_UID : pw->pw_uid;
	*gid = pw == NULL ? KEYD_UID : pw->pw_gid;
}

/* Beside smbgate; in the build tree; where it was installed. */
static int
find_program(char dst[PATH_MAX])
{
	char self[PATH_MAX - 32] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash = n <= 0 ? NULL : strrchr(self, '/');
	const char *const places[] = { "/smbgate-keyd", "/../keyd/smbgate-keyd" };

	if (slash != NULL)
		*slash = '\0';
	for (int i = 0; slash != NULL && i < 2; i++) {
		snprintf(dst, PATH_MAX, "%s%s", self, places[i]);
		if (access(dst, X_OK) == 0)
			return 0;
	}
	snprintf(dst, PATH_MAX, "%s", SBINDIR "/smbgate-keyd");
	if (access(dst, X_OK) == 0)
		return 0;
	log_error("a keytab needs smbgate-keyd, and it is neither in %s nor in %s",
	    slash == NULL ? "?" : self, SBINDIR);
	return -1;
}

/* Sanitizers are told what to do by these; nothing else of the environment is of any use. */
static char **
environment(void)
{
	static const char *const names[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS" };
	char **envp = calloc(4, sizeof(*envp));
	size_t n = 0;

	for (int i = 0; envp != NULL && i < 3; i++) {
		const char *value = getenv(names[i]);

		if (value != NULL && asprintf(&envp[n], "%s=%s", names[i], value) > 0)
			n++;
	}
	return envp;
}

static void __attribute__((noreturn))
guard_main(const struct conf *conf, unsigned nworkers, int fd, bool use_syslog, bool verbose,
    const char *program)
{
	char name[] = "smbgate-keyd", n[16], u[16], g[16];
	char on[] = "-n", ou[] = "-u", og[] = "-g", os[] = "-s", ov[] = "-v";
	char *argv[12] = { name, on, n };
	struct post p = {
		.keytab = conf->keytab,
		.program = program,
		.argv = argv,
		.envp = environment(),
		.nworkers = nworkers,
		.main_fd = fd,
		.keyd_fd = -1,
		.keyd = -1,
		.given = no_stamp,
	};
	int argc = 3;
	uid_t uid;
	gid_t gid;

	snprintf(n, sizeof(n), "%u", nworkers);
	if (geteuid() == 0) {
		identity(conf, &uid, &gid);
		snprintf(u, sizeof(u), "%u", (unsigned)uid);
		snprintf(g, sizeof(g), "%u", (unsigned)gid);
		argv[argc++] = ou;
		argv[argc++] = u;
		argv[argc++] = og;
		argv[argc++] = g;
	} else {
		log_info("not started as root: smbgate-keyd runs as the same user");
	}
	if (use_syslog)
		argv[argc++] = os;
	if (verbose)
		argv[argc++] = ov;
	stand(&p);
}

struct guard *
guard_new(const struct conf *conf, unsigned nworkers, bool use_syslog, bool verbose,
    struct secret *secret)
{
	struct guard *g = calloc(1, sizeof(*g));
	char program[PATH_MAX];
	int pair[2];

	if (g == NULL || find_program(program) == -1) {
		free(g);
		return NULL;
	}
	for (int i = 0; i < CONF_WORKERS_MAX; i++)
		g->held[i] = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1) {
		log_error("cannot start the guard of the keytab: %s", strerror(errno));
		free(g);
		return NULL;
	}
	g->pid = fork();
	if (g->pid == 0) {
		if (become_guard(&pair[1], use_syslog, verbose, secret) == -1)
			_exit(EXIT_FAILURE);
		guard_main(conf, nworkers, pair[1], use_syslog, verbose, program);
	}
	close(pair[1]);
	g->fd = pair[0];
	if (g->pid == -1) {
		log_error("cannot start the guard of the keytab: %s", strerror(errno));
		guard_free(&g);
	}
	return g;
}

void
guard_free(struct guard **gp)
{
	struct guard *g = *gp;

	if (g == NULL)
		return;
	close(g->fd);
	close_all(g->held, CONF_WORKERS_MAX);
	if (g->pid > 0)
		while (waitpid(g->pid, NULL, 0) == -1 && errno == EINTR)
			continue;
	free(g);
	*gp = NULL;
}

int
guard_fd(const struct guard *g)
{
	return g->fd;
}

static void
take_worker(struct guard *g, const uint8_t *packet, int fd)
{
	unsigned i = packet[1] | (unsigned)packet[2] << 8;

	if (fd == -1)
		return;
	if (i >= CONF_WORKERS_MAX) {
		close(fd);
	} else if (g->keyd != NULL) {
		g->keyd(g->arg, i, fd);
	} else {
		if (g->held[i] != -1)
			close(g->held[i]);
		g->held[i] = fd;
	}
}

/* The kind of packet, 0 when there is none now, -1 when the guard is gone. */
static int
take_packet(struct guard *g, char text[PACKET_MAX])
{
	uint8_t packet[PACKET_MAX];
	int fd;
	ssize_t n = fdpass_recv(g->fd, packet, sizeof(packet) - 1, &fd, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n <= 0)
		return -1;
	packet[n] = '\0';
	memcpy(text, packet + 1, (size_t)n);
	if (packet[0] == WORKER && n == 3)
		take_worker(g, packet, fd);
	else if (fd != -1)
		close(fd);
	return packet[0];
}

int
guard_wait(struct guard *g)
{
	uint64_t end_ms = clock_ms() + START_WAIT_MS, now;
	char text[PACKET_MAX];

	while ((now = clock_ms()) < end_ms) {
		struct pollfd p = { .fd = g->fd, .events = POLLIN };

		if (poll(&p, 1, (int)(end_ms - now)) == -1 && errno != EINTR)
			break;
		switch (take_packet(g, text)) {
		case SERVES:
			return 0;
		case UNFIT:
			log_error("smbgate-keyd: %s", text);
			return -1;
		case -1:
			log_error("the guard of the keytab died");
			return -1;
		}
	}
	log_error("smbgate-keyd does not come up within %d s", START_WAIT_MS / 1000);
	return -1;
}

void
guard_listen(struct guard *g, void (*keyd)(void *arg, unsigned worker, int fd), void *arg)
{
	g->keyd = keyd;
	g->arg = arg;
	for (unsigned i = 0; i < CONF_WORKERS_MAX; i++) {
		if (g->held[i] != -1)
			keyd(arg, i, g->held[i]);
		g->held[i] = -1;
	}
}

int
guard_read(struct guard *g)
{
	char text[PACKET_MAX];
	int r;

	while ((r = take_packet(g, text)) > 0)
		continue;
	return r;
}

void
guard_reload(struct guard *g)
{
	const char what = RELOAD;

	if (fdpass_send(g->fd, &what, 1, -1, MSG_DONTWAIT) == -1)
		log_error("the keytab is not read again: %s", strerror(errno));
}
