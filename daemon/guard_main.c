/* guard_main.c: the guard's own process: runs smbgate-keyd, and passes it the keytab */
#include "config.h"

#include "daemon/guard_main.h"

#include "auth/keymsg.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "daemon/guard_confine.h"
#include "daemon/guard_keyd.h"
#include "daemon/guard_keytab.h"
#include "daemon/guard_lost.h"
#include "daemon/guard_second.h"
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

/* The keytab is looked at so often, and smbgate-keyd asked whether it is alive. */
#define TICK_MS 1000
/* So many questions without an answer: it is said to be silent; it is killed. */
#define PINGS_SILENT 2
#define PINGS_DEAD 5
/* The same, of one that has only begun. */
#define PINGS_START 20
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
/* A smbgate-keyd that lived that long was well. */
#define ALIVE_MS 10000

struct guard_proc {
	struct guard_keytab keytab;
	struct guard_keyd keyd;
	struct guard_second second;
	struct guard_lost lost;
	int keyd_fd;			/* -1: there is none */
	pid_t pid;			/* of smbgate-keyd */
	bool served;			/* there has been one that serves */
	bool serves;			/* this one does */
	unsigned pings;			/* that it has not answered */
	bool done;			/* the first one was unfit: nothing is left to do */
	char unfit[GUARD_PACKET_MAX];	/* what it said before it died */
	uint64_t started_ms, restart_ms, tick_ms;
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

/* Waits for smbgate if need be, which reads what it is sent. */
static void
tell_main(char what)
{
	fdpass_send(GUARD_MAIN_FD, &what, 1, -1, 0);
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
pass_keytab(struct guard_proc *p)
{
	guard_keytab_pass(&p->keytab, p->keyd_fd);
	tell_main(p->keytab.readable ? GUARD_KEYTAB : GUARD_NO_KEYTAB);
}

static void
start_keyd(struct guard_proc *p)
{
	p->started_ms = clock_ms();
	p->unfit[0] = '\0';
	p->serves = false;
	p->pings = 0;
	guard_lost_clear(&p->lost);
	p->pid = guard_keyd_start(&p->keyd, &p->keyd_fd);
	if (p->pid == -1) {
		plan_restart(p);
		return;
	}
	pass_keytab(p);
}

static void
describe_death(char *dst, size_t cap, int status)
{
	if (WIFSIGNALED(status))
		snprintf(dst, cap, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(dst, cap, "exit status %d", WEXITSTATUS(status));
}

/* Its socket is closed, or it hangs: it is dead, or of no use. */
static void
reap_keyd(struct guard_proc *p, bool hangs)
{
	char how[64] = "unknown";
	int status;

	close(p->keyd_fd);
	p->keyd_fd = -1;
	guard_keyd_kill(&p->keyd, p->pid);
	while (waitpid(p->pid, &status, 0) == -1 && errno == EINTR)
		continue;
	describe_death(how, sizeof(how), status);
	p->pid = -1;
	if (!p->served) {
		if (p->unfit[0] != '\0')
			send_text(GUARD_MAIN_FD, GUARD_UNFIT, "%s", p->unfit);
		else
			send_text(GUARD_MAIN_FD, GUARD_UNFIT, "died while starting: %s", how);
		p->done = true;
		return;
	}
	plan_restart(p);
	tell_main(GUARD_DIED);
	if (hangs)
		log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_KEYD),
		    "smbgate-keyd did not answer for %u s: killed; restarting in %u ms",
		    p->pings * TICK_MS / 1000, p->backoff_ms);
	else
		log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_KEYD),
		    "smbgate-keyd died: %s%s%s; restarting in %u ms", how,
		    p->unfit[0] != '\0' ? ": " : "", p->unfit, p->backoff_ms);
}

static void
keyd_serves(struct guard_proc *p)
{
	bool news = !p->serves || p->pings >= PINGS_SILENT;

	p->served = p->serves = true;
	p->pings = 0;
	if (news)
		tell_main(GUARD_SERVES);
}

/* It is asked again, unless it has not answered for too long. */
static void
ping_keyd(struct guard_proc *p)
{
	const char ping = KEYD_PING;

	if (p->pings == (p->serves ? PINGS_DEAD : PINGS_START)) {
		reap_keyd(p, true);
		return;
	}
	if (p->serves && p->pings == PINGS_SILENT)
		tell_main(GUARD_SILENT);
	fdpass_send(p->keyd_fd, &ping, 1, -1, MSG_DONTWAIT);
	p->pings++;
}

static void
read_keyd(struct guard_proc *p)
{
	char packet[GUARD_PACKET_MAX];
	const char same = KEYTAB_SAME;
	int fd;
	ssize_t n = fdpass_recv(p->keyd_fd, packet, sizeof(packet) - 1, &fd, MSG_DONTWAIT);

	if (fd != -1)
		close(fd);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0) {
		reap_keyd(p, false);
		return;
	}
	packet[n] = '\0';
	switch (packet[0]) {
	case KEYTAB_WANTED:
		if (guard_keytab_changed(&p->keytab))
			pass_keytab(p);
		else
			fdpass_send(p->keyd_fd, &same, 1, -1, MSG_DONTWAIT);
		break;
	case KEYD_SERVES:
		keyd_serves(p);
		break;
	case KEYD_PONG:
		/* One that has not yet seen a keytab answers, but does not serve. */
		if (p->serves)
			keyd_serves(p);
		p->pings = 0;
		packet[0] = GUARD_COUNTS;
		if (n == KEYD_PONG_LEN)
			fdpass_send(GUARD_MAIN_FD, packet, (size_t)n, -1, MSG_DONTWAIT);
		break;
	case KEYD_LOST:
		if (n == 3)
			guard_lost_note(&p->lost,
			    (uint8_t)packet[1] | (unsigned)(uint8_t)packet[2] << 8, clock_ms());
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
		guard_keyd_kill(&p->keyd, p->pid);
		close(p->keyd_fd);
		while (waitpid(p->pid, &status, 0) == -1 && errno == EINTR)
			continue;
	}
	guard_second_reap(&p->second);
	_exit(EXIT_SUCCESS);
}

static void
read_main(struct guard_proc *p)
{
	char packet[GUARD_PACKET_MAX];
	int fd;
	ssize_t n = fdpass_recv(GUARD_MAIN_FD, packet, sizeof(packet), &fd, MSG_DONTWAIT);

	if (fd != -1)
		close(fd);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0)
		guard_end(p);
	if (packet[0] == GUARD_RELOAD && p->keyd_fd != -1)
		pass_keytab(p);
	if (packet[0] != GUARD_LEVEL || n != 2)
		return;
	log_set_level((enum log_level)packet[1]);
	packet[0] = KEYD_LEVEL;
	if (p->keyd_fd != -1)
		fdpass_send(p->keyd_fd, packet, 2, -1, MSG_DONTWAIT);
}

static int
wait_ms(const struct guard_proc *p, uint64_t now)
{
	uint64_t then = p->keyd_fd == -1 && p->restart_ms < p->tick_ms ? p->restart_ms : p->tick_ms;
	int lost = guard_lost_wait(&p->lost, now), ms = then > now ? (int)(then - now) : 0;

	return p->done ? -1 : lost != -1 && lost < ms ? lost : ms;
}

/* In the stand-in: the guard is dead. */
static void
take_over(struct guard_proc *p)
{
	p->keyd_fd = -1;
	p->pid = -1;
	p->done = false;
	/* What serves, or not, when it is too late for smbgate to end for it. */
	p->served = true;
	p->started_ms = clock_ms();
	p->backoff_ms = 0;
	plan_restart(p);
	log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_KEYD),
	    "the guard of the keytab died: its stand-in takes over");
	tell_main(GUARD_AGAIN);
}

static void
start_second(struct guard_proc *p)
{
	while (guard_second_start(&p->second, p->keyd_fd))
		take_over(p);
}

static void
guard_tick(struct guard_proc *p, uint64_t now)
{
	p->tick_ms = now + TICK_MS;
	log_catch_up();
	if (p->keyd_fd != -1)
		ping_keyd(p);
	if (p->keyd_fd != -1 && guard_keytab_changed(&p->keytab))
		pass_keytab(p);
	if (p->second.pid == -1)
		start_second(p);
}

static void __attribute__((noreturn))
guard_loop(struct guard_proc *p)
{
	start_keyd(p);
	p->tick_ms = clock_ms() + TICK_MS;
	start_second(p);
	for (;;) {
		struct pollfd polls[3] = {
			{ .fd = GUARD_MAIN_FD, .events = POLLIN },
			{ .fd = p->keyd_fd, .events = POLLIN },
			{ .fd = p->second.fd, .events = POLLIN },
		};
		uint64_t now;
		int lost;

		if (poll(polls, 3, wait_ms(p, clock_ms())) == -1 && errno != EINTR)
			guard_end(p);
		if (polls[0].revents != 0)
			read_main(p);
		if (p->keyd_fd != -1 && polls[1].revents != 0)
			read_keyd(p);
		/* The next tick starts another one. */
		if (polls[2].revents != 0)
			guard_second_reap(&p->second);
		now = clock_ms();
		if (p->keyd_fd == -1 && !p->done && now >= p->restart_ms)
			start_keyd(p);
		while (p->keyd_fd != -1 && (lost = guard_lost_due(&p->lost, now)) != -1)
			if (guard_keyd_connect(&p->keyd, p->keyd_fd, (unsigned)lost) == -1)
				guard_lost_note(&p->lost, (unsigned)lost, now);
		if (!p->done && now >= p->tick_ms)
			guard_tick(p, now);
	}
}

/* Gives up what the guard must not have of smbgate: descriptors, the secret, signal handlers. */
static int
become_guard(const struct guard_start *s)
{
	const struct rlimit none = { 0, 0 };
	int null = open("/dev/null", O_RDWR);
	sigset_t empty;

	secret_fini(s->secret);
	prctl(PR_SET_NAME, "smbgate-guard");
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	if (null == -1 || dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1)
		return -1;
	log_close();
	if (s->fd != GUARD_MAIN_FD && dup3(s->fd, GUARD_MAIN_FD, O_CLOEXEC) == -1)
		return -1;
	close_range(GUARD_MAIN_FD + 1, UINT_MAX, 0);
	if (log_open(s->syslog, s->conf->log_format, s->conf->log_level) == 0 && s->syslog &&
	    (null = open("/dev/null", O_WRONLY | O_CLOEXEC)) != -1 && dup2(null, STDERR_FILENO) == -1)
		return -1;
	return chdir("/");
}

void
guard_main(const struct guard_start *s)
{
	struct guard_proc p = { .keyd_fd = -1, .pid = -1 };

	if (become_guard(s) == -1)
		_exit(EXIT_FAILURE);
	guard_keytab_init(&p.keytab, s->conf);
	guard_keyd_init(&p.keyd, s);
	/* Not before a user's name is known: it may be known to another machine. */
	guard_leave_network();
	if (s->conf->confine)
		guard_confine(s->program);
	guard_loop(&p);
}
