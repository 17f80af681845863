/* syn.c: does somebody answer there? connections from any address, all of them at once */
#include "config.h"

#include "ctl/syn.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* SYNs go out now, after one second and after three: two may be lost, or wait for a neighbour. */
#define PATIENCE_MS 3500

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* -1 with errno. */
static int
bind_as(int fd, int family, const struct addr *from)
{
	const struct addrport a = { .addr = *from };
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&a, &ss);
	int on = 1, r;

	r = family == AF_INET6
	    ? setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on))
	    : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on));
	return r == -1 ? -1 : bind(fd, (struct sockaddr *)&ss, len);
}

static void
syn_send(struct syn *s)
{
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&s->to, &ss);

	s->err = 0;
	s->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd == -1 || (s->as_client && bind_as(s->fd, ss.ss_family, &s->from) == -1) ||
	    connect(s->fd, (struct sockaddr *)&ss, len) == -1)
		s->err = errno;
}

/* How many are still under way. */
static size_t
syn_look(struct syn *s, struct pollfd *p, size_t n)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		socklen_t len = sizeof(s[i].err);

		if (s[i].err == EINPROGRESS && p[i].revents != 0 &&
		    getsockopt(s[i].fd, SOL_SOCKET, SO_ERROR, &s[i].err, &len) == -1)
			s[i].err = errno;
		p[i] = (struct pollfd){ .fd = s[i].err == EINPROGRESS ? s[i].fd : -1,
			.events = POLLOUT };
		left += s[i].err == EINPROGRESS;
	}
	return left;
}

void
syn_all(struct syn *s, size_t n)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct pollfd *p = calloc(n + 1, sizeof(*p));
	int64_t end = now_ms() + PATIENCE_MS, left;

	for (size_t i = 0; i < n; i++) {
		s[i].err = ENOMEM;
		s[i].fd = -1;
		if (p != NULL)
			syn_send(&s[i]);
	}
	while (p != NULL && syn_look(s, p, n) > 0 && (left = end - now_ms()) > 0)
		(void)poll(p, n, (int)left);
	for (size_t i = 0; i < n; i++) {
		if (s[i].err == EINPROGRESS)
			s[i].err = ETIMEDOUT;
		if (s[i].fd != -1) {
			setsockopt(s[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
			close(s[i].fd);
		}
	}
	free(p);
}
