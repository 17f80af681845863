/* guard.c: smbgate's side of the guard: starts it, ends it, takes the sockets that it sends */
#include "config.h"

#include "daemon/guard.h"

#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "base/rd.h"
#include "daemon/guard_main.h"
#include "daemon/guard_start.h"
#include "policy/conf.h"
#include "policy/errlist.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 *	smbgate ◄──workers' sockets── guard ──keytab's descriptor──► smbgate-keyd
 *
 * The guard parses nothing and answers nobody: it opens one file and starts one program. If it is
 * killed, its stand-in is the guard.
 */

/* Longer than the guard gives one that has only begun; in an upgrade the one before serves on. */
#define START_WAIT_MS 30000
/* For its end, and how often that is looked for. */
#define END_MS 3000
#define END_STEP_MS 10

struct guard {
	int fd;
	struct guard_state state;
	uint64_t counted[KEYD_COUNTS];	/* by this smbgate-keyd */
	void (*keyd)(void *arg, unsigned worker, int fd);
	void *arg;
	int early[CONF_WORKERS_MAX];	/* came before guard_listen(); -1: none */
	enum log_level level;		/* that the guard is to have */
};

/* Beside smbgate; in the build tree; where it was installed. -1: dst says where it is not. */
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
	snprintf(dst, PATH_MAX,
	    "a keytab needs smbgate-keyd, which is neither in %.2000s nor in %s",
	    slash == NULL ? "?" : self, SBINDIR);
	return -1;
}

void
guard_try(const struct conf *conf, struct errlist *e)
{
	char program[PATH_MAX];

	if (conf->keytab != NULL && find_program(program) == -1)
		errlist_add(e, conf->path, conf->keytab_line, "%s", program);
}

struct guard *
guard_new(const struct conf *conf, unsigned nworkers, bool use_syslog, struct secret *secret)
{
	struct guard *g = calloc(1, sizeof(*g));
	char program[PATH_MAX];
	struct guard_start start = { .conf = conf, .secret = secret, .program = program,
		.nworkers = nworkers, .syslog = use_syslog };
	int pair[2];
	pid_t pid;

	if (g == NULL || find_program(program) == -1) {
		log_error("%s", g == NULL ? "out of memory" : program);
		free(g);
		return NULL;
	}
	g->level = conf->log_level;
	for (int i = 0; i < CONF_WORKERS_MAX; i++)
		g->early[i] = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1) {
		log_error("cannot start the guard of the keytab: %s", strerror(errno));
		free(g);
		return NULL;
	}
	/* What a guard that died had started becomes ours: nobody has to wait for its end. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	signal(SIGCHLD, SIG_IGN);
	pid = fork();
	if (pid == 0) {
		start.fd = pair[1];
		guard_main(&start);
	}
	close(pair[1]);
	g->fd = pair[0];
	if (pid == -1) {
		log_error("cannot start the guard of the keytab: %s", strerror(errno));
		guard_free(&g);
	}
	return g;
}

/* It ends when its socket is closed. One that hangs must not keep smbgate: that has served. */
static void
wait_for_end(void)
{
	const uint64_t end_ms = clock_ms() + END_MS;
	pid_t r;

	do {
		r = waitpid(-1, NULL, WNOHANG);
		if (r == 0)
			(void)poll(NULL, 0, END_STEP_MS);
		else if (r == -1 && errno != EINTR)
			return;
	} while (clock_ms() < end_ms);
	log_warn("the guard of the keytab does not end: it is left behind");
}

void
guard_free(struct guard **gp)
{
	struct guard *g = *gp;

	if (g == NULL)
		return;
	close(g->fd);
	for (unsigned i = 0; i < CONF_WORKERS_MAX; i++)
		if (g->early[i] != -1)
			close(g->early[i]);
	wait_for_end();
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
		if (g->early[i] != -1)
			close(g->early[i]);
		g->early[i] = fd;
	}
}

/* They are those of this smbgate-keyd: what is beyond what it said before is new. */
static void
take_counts(struct guard *g, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);

	for (int i = 0; i < KEYD_COUNTS; i++) {
		uint64_t now = rd_u64(&r);

		if (now < g->counted[i])
			g->counted[i] = 0;
		g->state.count[i] += now - g->counted[i];
		g->counted[i] = now;
	}
}

static void
send_level(const struct guard *g)
{
	const char packet[2] = { GUARD_LEVEL, (char)g->level };

	if (fdpass_send(g->fd, packet, sizeof(packet), -1, MSG_DONTWAIT) == -1)
		log_warn("the guard keeps its log level: %s", strerror(errno));
}

static void
take_news(struct guard *g, char what)
{
	struct guard_state *s = &g->state;

	if (what == GUARD_AGAIN || what == GUARD_DIED)
		memset(g->counted, 0, sizeof(g->counted));
	switch (what) {
	case GUARD_SERVES:
		s->keyd = GUARD_KEYD_UP;
		break;
	case GUARD_SILENT:
		s->keyd = GUARD_KEYD_SILENT;
		break;
	case GUARD_KEYTAB:
	case GUARD_NO_KEYTAB:
		s->keytab_readable = what == GUARD_KEYTAB;
		break;
	case GUARD_AGAIN:
		/* Its smbgate-keyd went with it. */
		s->guard_restarts++;
		s->keyd_restarts++;
		s->keyd = GUARD_KEYD_RESTARTING;
		/* It has the one of the start. */
		send_level(g);
		break;
	case GUARD_DIED:
		s->keyd_restarts++;
		s->keyd = GUARD_KEYD_RESTARTING;
		break;
	}
}

const struct guard_state *
guard_state(const struct guard *g)
{
	return &g->state;
}

/* The kind of packet, 0 when there is none now, -1 when the guard is gone. */
static int
take_packet(struct guard *g, char text[GUARD_PACKET_MAX])
{
	uint8_t packet[GUARD_PACKET_MAX];
	int fd;
	ssize_t n = fdpass_recv(g->fd, packet, sizeof(packet) - 1, &fd, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n <= 0)
		return -1;
	packet[n] = '\0';
	memcpy(text, packet + 1, (size_t)n);
	if (packet[0] == GUARD_WORKER && n == 3)
		take_worker(g, packet, fd);
	else if (fd != -1)
		close(fd);
	if (packet[0] == GUARD_COUNTS && n == KEYD_PONG_LEN)
		take_counts(g, packet + 1, (size_t)n - 1);
	take_news(g, (char)packet[0]);
	return packet[0];
}

int
guard_wait(struct guard *g)
{
	uint64_t end_ms = clock_ms() + START_WAIT_MS, now;
	char text[GUARD_PACKET_MAX];

	while ((now = clock_ms()) < end_ms) {
		struct pollfd p = { .fd = g->fd, .events = POLLIN };

		if (poll(&p, 1, (int)(end_ms - now)) == -1 && errno != EINTR)
			break;
		switch (take_packet(g, text)) {
		case GUARD_SERVES:
			return 0;
		case GUARD_UNFIT:
			log_error("smbgate-keyd: %s", text);
			return -1;
		case -1:
			log_error("the guard of the keytab died");
			return -1;
		}
	}
	log_error("smbgate-keyd did not start within %d s", START_WAIT_MS / 1000);
	return -1;
}

void
guard_listen(struct guard *g, void (*keyd)(void *arg, unsigned worker, int fd), void *arg)
{
	g->keyd = keyd;
	g->arg = arg;
	for (unsigned i = 0; i < CONF_WORKERS_MAX; i++) {
		if (g->early[i] != -1)
			keyd(arg, i, g->early[i]);
		g->early[i] = -1;
	}
}

int
guard_read(struct guard *g)
{
	char text[GUARD_PACKET_MAX];
	int r;

	while ((r = take_packet(g, text)) > 0)
		continue;
	return r;
}

void
guard_reload(struct guard *g)
{
	const char what = GUARD_RELOAD;

	if (fdpass_send(g->fd, &what, 1, -1, MSG_DONTWAIT) == -1)
		log_error("cannot have the keytab read again: %s", strerror(errno));
}

void
guard_log_level(struct guard *g, enum log_level level)
{
	g->level = level;
	send_level(g);
}
