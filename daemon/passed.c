/* passed.c: listening sockets that the service manager has opened, by the names of listeners */
#include "config.h"

#include "daemon/passed.h"

#include "base/addr.h"
#include "policy/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The one after standard error. */
#define FIRST_FD 3
/* Each worker's of each listener. */
#define SOCKETS_MAX (CONF_LISTEN_MAX * CONF_WORKERS_MAX)

static int
read_number(const char *text, long most, long *n)
{
	char *end;

	errno = 0;
	*n = strtol(text, &end, 10);
	return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *n <= most ? 0
	                                                                                    : -1;
}

/* Names are separated by colons. Without any, libsystemd says "unknown", too. */
static int
read_names(struct passed *p, const char *names)
{
	for (size_t i = 0; i < p->n; i++) {
		size_t len = names == NULL ? 0 : strcspn(names, ":");

		p->sockets[i].fd = FIRST_FD + (int)i;
		snprintf(p->sockets[i].name, PASSED_NAME, "unknown");
		if (names == NULL)
			continue;
		if (len >= PASSED_NAME || (names[len] == ':') != (i + 1 < p->n))
			return -1;
		memcpy(p->sockets[i].name, names, len);
		p->sockets[i].name[len] = '\0';
		names += len + 1;
	}
	return 0;
}

int
passed_parse(struct passed *p, const struct passed_words *w, long self, char why[PASSED_WHY])
{
	long pid, n;

	*p = (struct passed){ .n = 0 };
	if (w->pid == NULL || w->fds == NULL)
		return 0;
	if (read_number(w->pid, INT32_MAX, &pid) == -1) {
		snprintf(why, PASSED_WHY, "LISTEN_PID is no process: \"%.64s\"", w->pid);
		return -1;
	}
	if (pid != self)
		return 0;
	if (read_number(w->fds, SOCKETS_MAX, &n) == -1) {
		snprintf(why, PASSED_WHY, "LISTEN_FDS is not 0 to %d: \"%.64s\"", SOCKETS_MAX,
		    w->fds);
		return -1;
	}
	if (n == 0)
		return 0;
	p->sockets = calloc((size_t)n, sizeof(*p->sockets));
	if (p->sockets == NULL) {
		snprintf(why, PASSED_WHY, "out of memory");
		return -1;
	}
	p->n = (size_t)n;
	if (read_names(p, w->names) == 0)
		return 0;
	snprintf(why, PASSED_WHY, "LISTEN_FDNAMES has not the %ld names of LISTEN_FDS: \"%.128s\"",
	    n, w->names);
	free(p->sockets);
	*p = (struct passed){ .n = 0 };
	return -1;
}

int
passed_take(struct passed *p, char why[PASSED_WHY])
{
	const struct passed_words w = { .pid = getenv("LISTEN_PID"), .fds = getenv("LISTEN_FDS"),
		.names = getenv("LISTEN_FDNAMES") };
	int r = passed_parse(p, &w, (long)getpid(), why);

	for (size_t i = 0; i < p->n; i++) {
		if (fcntl(p->sockets[i].fd, F_SETFD, FD_CLOEXEC) == 0)
			continue;
		snprintf(why, PASSED_WHY, "descriptor %d of LISTEN_FDS is not there",
		    p->sockets[i].fd);
		free(p->sockets);
		*p = (struct passed){ .n = 0 };
		r = -1;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return r;
}

static int
get_option(int fd, int level, int option)
{
	int v = 0;
	socklen_t len = sizeof(v);

	return getsockopt(fd, level, option, &v, &len) == 0 ? v : -1;
}

/* Is it what the listener would have bound itself? NULL, or what it is not. */
static const char *
misfit(int fd, const struct conf_listen *l, bool both, char text[PASSED_WHY])
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);
	char address[ADDR_STRLEN];
	struct addrport at;
	bool v6;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		return errno == ENOTSOCK ? "it is not a socket" : strerror(errno);
	if (addrport_from_sa(&at, (struct sockaddr *)&ss) == -1 ||
	    get_option(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP)
		return "it is not a TCP socket: the unit must have ListenStream=";
	if (get_option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		return "it does not listen: the unit must have Accept=no";
	if (!addr_equal(&at.addr, &l->address.addr) || at.port != l->address.port) {
		snprintf(text, PASSED_WHY, "it is bound to %s", addrport_str(&at, address));
		return text;
	}
	v6 = ss.ss_family == AF_INET6;
	if (v6 && both && get_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1)
		return "it takes no IPv4: the unit must have BindIPv6Only=both";
	if (l->intercept && get_option(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
	                        v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT) != 1)
		return "intercept: the unit must have Transparent=true";
	return NULL;
}

static int
passed_fit(const struct passed_socket *s, const struct conf_listen *l, bool both,
    char why[PASSED_WHY])
{
	char text[PASSED_WHY], address[ADDR_STRLEN];
	const char *fault = misfit(s->fd, l, both, text);
	int flags = fcntl(s->fd, F_GETFL);

	if (fault == NULL && (flags == -1 || fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) == -1))
		fault = strerror(errno);
	if (fault == NULL)
		return 0;
	snprintf(why, PASSED_WHY, "the socket from the service manager for %s: %.180s",
	    addrport_str(&l->address, address), fault);
	return -1;
}

/* The sockets of that name, which are taken. -1: why. */
static int
find_sockets(struct passed *p, const struct conf_listen *l, bool both,
    int found[CONF_WORKERS_MAX], unsigned n, char why[PASSED_WHY])
{
	unsigned k = 0;
	int r = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct passed_socket *s = &p->sockets[i];

		if (s->taken || strcmp(s->name, l->name) != 0)
			continue;
		s->taken = true;
		if (k < n && passed_fit(s, l, both, why) == -1)
			r = -1;
		if (k < n)
			found[k] = s->fd;
		else
			close(s->fd);
		k++;
	}
	if (k <= n && r == 0)
		return (int)k;
	/* The kernel gives each of them clients, whoever has it besides us. */
	if (k > n)
		snprintf(why, PASSED_WHY, "%u sockets from the service manager, for %u worker%s: "
		    "nobody would serve the clients of the others", k, n, n == 1 ? "" : "s");
	for (unsigned i = 0; i < k && i < n; i++)
		close(found[i]);
	return -1;
}

int
passed_listener(struct passed *p, const struct conf_listen *l, bool both, int *fds, unsigned n,
    char why[PASSED_WHY])
{
	int found[CONF_WORKERS_MAX], k = find_sockets(p, l, both, found, n, why);

	if (k <= 0)
		return k;
	for (unsigned w = 0; w < n; w++)
		fds[w] = -1;
	for (unsigned w = 0; w < n; w++) {
		fds[w] = w < (unsigned)k ? found[w]
		                         : fcntl(found[w % (unsigned)k], F_DUPFD_CLOEXEC, 0);
		if (fds[w] != -1)
			continue;
		snprintf(why, PASSED_WHY, "%s", strerror(errno));
		for (unsigned i = 0; i < w; i++)
			close(fds[i]);
		return -1;
	}
	return 1;
}

void
passed_close(struct passed *p, void (*unused)(void *arg, const char *name), void *arg)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->sockets[i].taken)
			continue;
		unused(arg, p->sockets[i].name);
		close(p->sockets[i].fd);
	}
	free(p->sockets);
	*p = (struct passed){ .n = 0 };
}
