/* guard.c: smbgate's side of the guard: starts it, ends it, takes the sockets that it sends */
#include "config.h"

#include "daemon/guard.h"

#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "daemon/guard_main.h"
#include "daemon/guard_start.h"
#include "policy/conf.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 *	smbgate ◄──workers' sockets── guard ──keytab's descriptor──► smbgate-keyd
 *
 * The guard parses nothing and answers nobody: it opens one file and starts one program.
 */

#define START_WAIT_MS 5000

struct guard {
	int fd;
	pid_t pid;
	void (*keyd)(void *arg, unsigned worker, int fd);
	void *arg;
	int early[CONF_WORKERS_MAX];	/* came before guard_listen(); -1: none */
};

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
	log_error("a keytab needs smbgate-keyd, which is neither in %s nor in %s",
	    slash == NULL ? "?" : self, SBINDIR);
	return -1;
}

struct guard *
guard_new(const struct conf *conf, unsigned nworkers, bool use_syslog, bool verbose,
    struct secret *secret)
{
	struct guard *g = calloc(1, sizeof(*g));
	char program[PATH_MAX];
	struct guard_start start = { .conf = conf, .secret = secret, .program = program,
		.nworkers = nworkers, .syslog = use_syslog, .verbose = verbose };
	int pair[2];

	if (g == NULL || find_program(program) == -1) {
		free(g);
		return NULL;
	}
	for (int i = 0; i < CONF_WORKERS_MAX; i++)
		g->early[i] = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1) {
		log_error("cannot start the guard of the keytab: %s", strerror(errno));
		free(g);
		return NULL;
	}
	g->pid = fork();
	if (g->pid == 0) {
		start.fd = pair[1];
		guard_main(&start);
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
	for (unsigned i = 0; i < CONF_WORKERS_MAX; i++)
		if (g->early[i] != -1)
			close(g->early[i]);
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
		if (g->early[i] != -1)
			close(g->early[i]);
		g->early[i] = fd;
	}
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
