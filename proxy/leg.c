/* leg.c: one socket of a connection: events, options, reading, writing, closing */
#include "config.h"

#include "proxy/leg.h"

#include "policy/policy.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void
leg_init(struct leg *l)
{
	l->fd = -1;
	l->reading = l->writing = false;
}

void
leg_open(struct leg *l, struct event_base *base, int fd, event_callback_fn rd,
    event_callback_fn wr, void *arg)
{
	l->fd = fd;
	event_assign(&l->rd, base, fd, EV_READ | EV_PERSIST, rd, arg);
	event_assign(&l->wr, base, fd, EV_WRITE | EV_PERSIST, wr, arg);
}

void
leg_close(struct leg *l, bool reset)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (l->fd == -1)
		return;
	leg_read(l, false);
	leg_write(l, false);
	if (reset)
		setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(l->fd);
	l->fd = -1;
}

void
leg_read(struct leg *l, bool on)
{
	if (l->fd == -1 || l->reading == on)
		return;
	l->reading = on;
	if (on)
		event_add(&l->rd, NULL);
	else
		event_del(&l->rd);
}

void
leg_write(struct leg *l, bool on)
{
	if (l->fd == -1 || l->writing == on)
		return;
	l->writing = on;
	if (on)
		event_add(&l->wr, NULL);
	else
		event_del(&l->wr);
}

ssize_t
leg_recv(struct leg *l, void *dst, size_t n)
{
	ssize_t r;

	do
		r = recv(l->fd, dst, n, MSG_DONTWAIT);
	while (r == -1 && errno == EINTR);
	return r;
}

ssize_t
leg_send(struct leg *l, const void *src, size_t n)
{
	ssize_t r;

	do
		r = send(l->fd, src, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r == -1 && errno == EINTR);
	return r;
}

bool
leg_broken(const struct leg *l)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (l->fd == -1 || getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
		return false;
	return info.tcpi_state == TCP_CLOSE;
}

bool
leg_sent_all(const struct leg *l)
{
	int left = 0;

	return l->fd != -1 && ioctl(l->fd, SIOCOUTQ, &left) == 0 && left == 0;
}

void
leg_tcp(int fd, const struct pol_tcp *tcp, unsigned user_timeout_ms)
{
	int on = 1, idle = (int)(tcp->keepalive_idle / 1000);
	int interval = (int)(tcp->keepalive_interval / 1000), count = (int)tcp->keepalive_count;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
	if (idle > 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
}
