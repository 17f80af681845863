/* guard_main.c: the guard's own process: runs smbgate-keyd, and passes it the keytab */
#include "config.h"

#include "daemon/guard_main.h"

#include "auth/keymsg.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "daemon/guard_keyd.h"
#include "daemon/guard_keytab.h"
#include "daemon/guard_start.h"
#include "policy/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STAT_MS 1000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
/* A smbgate-keyd that lived that long was well. */
#define ALIVE_MS 10000

struct guard_proc {
	struct guard_keytab keytab;
	struct guard_keyd keyd;
	int main_fd;
	int keyd_fd;			/* -1: there is none */
	pid_t pid;			/* of smbgate-keyd */
	bool served;			/* there has been one that serves */
	bool done;			/* the first one was unfit: nothing is left to do */
	char unfit[GUARD_PACKET_MAX];	/* what it said before it died */
	uint64_t started_ms, restart_ms, stat_ms;
	unsigned backoff_ms;
};

static int __attribute__((format(printf, 3, 4)))
send_text(int to, char what, const char *fmt, ...)
{
	char packet[GUARD_PACKET_MAX] = { what };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(packet + 1, sizeof(packet) - 1, fmt, ap);
	va_end(ap);
	return fdpass_send(to, packet, 1 + strlen(packet + 1), -1, MSG_DONTWAIT);
}

static void
plan_restart(struct guard_proc *p)
{
	uint64_t now = clock_ms();

	if (now - p->started_ms >= ALIVE_MS || p->backoff_ms == 0)
		p->backoff_ms = BACKOFF_MIN_MS;
	else if ((p->backoff_ms *= 2) > BACKOFF_MAX_MS)
		p->backoff_ms = BACKOFF_MAX_MS;
	p->restart_ms = now + p->backoff_ms;
}

static void
start_keyd(struct guard_proc *p)
{
	int ours[CONF_WORKERS_MAX + 1];

	p->started_ms = clock_ms();
	p->unfit[0] = '\0';
	p->pid = guard_keyd_start(&p->keyd, ours);
	if (p->pid == -1) {
		plan_restart(p);
		return;
	}
	p->keyd_fd = ours[0];
	for (unsigned i = 0; i < p->keyd.start->nworkers; i++) {
		const uint8_t packet[3] = { GUARD_WORKER, (uint8_t)i, (uint8_t)(i >> 8) };

		if (fdpass_send(p->main_fd, packet, sizeof(packet), ours[1 + i], 0) == -1)
			log_error("cannot connect worker %u to smbgate-keyd: %s", i,
			    strerror(errno));
		close(ours[1 + i]);
	}
	guard_keytab_pass(&p->keytab, p->keyd_fd);
}

static void
describe_death(char *dst, size_t cap, int status)
{
	if (WIFSIGNALED(status))
		snprintf(dst, cap, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(dst, cap, "exit status %d", WEXITSTATUS(status));
}

/* Its socket is closed: it is dead, or of no use. */
static void
reap_keyd(struct guard_proc *p)
{
	char how[64] = "unknown";
	int status;

	close(p->keyd_fd);
	p->keyd_fd = -1;
	kill(p->pid, SIGKILL);
	while (waitpid(p->pid, &status, 0) == -1 && errno == EINTR)
		continue;
	describe_death(how, sizeof(how), status);
	p->pid = -1;
	if (!p->served) {
		if (p->unfit[0] != '\0')
			send_text(p->main_fd, GUARD_UNFIT, "%s", p->unfit);
		else
			send_text(p->main_fd, GUARD_UNFIT, "died while starting: %s", how);
		p->done = true;
		return;
	}
	plan_restart(p);
	log_error("smbgate-keyd died: %s%s%s; restarting in %u ms", how,
	    p->unfit[0] != '\0' ? ": " : "", p->unfit, p->backoff_ms);
}

static void
read_keyd(struct guard_proc *p)
{
	char packet[GUARD_PACKET_MAX];
	const char same = KEYTAB_SAME, serves = GUARD_SERVES;
	int fd;
	ssize_t n = fdpass_recv(p->keyd_fd, packet, sizeof(packet) - 1, &fd, MSG_DONTWAIT);

	if (fd != -1)
		close(fd);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0) {
		reap_keyd(p);
		return;
	}
	packet[n] = '\0';
	switch (packet[0]) {
	case KEYTAB_WANTED:
		if (guard_keytab_changed(&p->keytab))
			guard_keytab_pass(&p->keytab, p->keyd_fd);
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

/* smbgate is gone: so is everything that it has started. */
static void
guard_end(struct guard_proc *p)
{
	int status;

	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		close(p->keyd_fd);
		while (waitpid(p->pid, &status, 0) == -1 && errno == EINTR)
			continue;
	}
	_exit(EXIT_SUCCESS);
}

static void
read_main(struct guard_proc *p)
{
	char packet[GUARD_PACKET_MAX];
	int fd;
	ssize_t n = fdpass_recv(p->main_fd, packet, sizeof(packet), &fd, MSG_DONTWAIT);

	if (fd != -1)
		close(fd);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0)
		guard_end(p);
	if (packet[0] == GUARD_RELOAD && p->keyd_fd != -1)
		guard_keytab_pass(&p->keytab, p->keyd_fd);
}

static int
wait_ms(const struct guard_proc *p, uint64_t now)
{
	uint64_t then = p->keyd_fd != -1 ? p->stat_ms : p->restart_ms;

	return p->done ? -1 : then > now ? (int)(then - now) : 0;
}

static void __attribute__((noreturn))
guard_loop(struct guard_proc *p)
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
			guard_end(p);
		if (polls[0].revents != 0)
			read_main(p);
		if (p->keyd_fd != -1 && polls[1].revents != 0)
			read_keyd(p);
		now = clock_ms();
		if (p->keyd_fd == -1 && !p->done && now >= p->restart_ms)
			start_keyd(p);
		if (p->keyd_fd != -1 && now >= p->stat_ms) {
			p->stat_ms = now + STAT_MS;
			if (guard_keytab_changed(&p->keytab))
				guard_keytab_pass(&p->keytab, p->keyd_fd);
		}
	}
}

/* Gives up what the guard must not have of smbgate: descriptors, the secret, signal handlers. */
static int
become_guard(const struct guard_start *s, int *fd)
{
	const struct rlimit none = { 0, 0 };
	int null = open("/dev/null", O_RDWR);
	sigset_t empty;

	secret_fini(s->secret);
	prctl(PR_SET_NAME, "smbgate-guard");
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	if (null == -1 || dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1)
		return -1;
	log_close();
	if (*fd != STDERR_FILENO + 1 && dup3(*fd, STDERR_FILENO + 1, O_CLOEXEC) == -1)
		return -1;
	*fd = STDERR_FILENO + 1;
	close_range(STDERR_FILENO + 2, UINT_MAX, 0);
	if (log_open(s->syslog, s->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO) == 0 && s->syslog &&
	    (null = open("/dev/null", O_WRONLY | O_CLOEXEC)) != -1 && dup2(null, STDERR_FILENO) == -1)
		return -1;
	return chdir("/");
}

void
guard_main(const struct guard_start *s)
{
	struct guard_proc p = { .main_fd = s->fd, .keyd_fd = -1, .pid = -1 };

	if (become_guard(s, &p.main_fd) == -1)
		_exit(EXIT_FAILURE);
	guard_keytab_init(&p.keytab, s->conf->keytab);
	guard_keyd_init(&p.keyd, s);
	guard_loop(&p);
}
