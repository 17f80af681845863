/* leg.c: one socket of a connection: edges, options, reading, writing, closing */
#include "config.h"

#include "proxy/leg.h"

#include "policy/policy.h"
#include "proxy/edges.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

/* The most that there is: who asks decides when it has been asked often enough. */
#define ASKING_COUNT 127

void
leg_init(struct leg *l)
{
	*l = (struct leg){ .edge.fd = -1 };
}

void
leg_take(struct leg *l, int fd)
{
	*l = (struct leg){ .edge.fd = fd };
}

int
leg_open(struct leg *l, struct edges *e, int fd)
{
	leg_take(l, fd);
	if (edges_add(e, &l->edge) == 0)
		return 0;
	l->edge.fd = -1;
	return -1;
}

void
leg_close(struct leg *l, struct edges *e, bool reset)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (l->edge.fd == -1)
		return;
	edges_del(e, &l->edge);
	if (reset)
		setsockopt(l->edge.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(l->edge.fd);
	l->edge.fd = -1;
	l->reading = l->ready = l->blocked = false;
}

void
leg_unwatch(struct leg *l, struct edges *e)
{
	edges_del(e, &l->edge);
}

int
leg_watch(struct leg *l, struct edges *e)
{
	l->ready = true;
	return edges_add(e, &l->edge);
}

void
leg_note(struct leg *l, short what)
{
	if ((what & (EV_READ | EV_CLOSED)) != 0)
		l->ready = true;
	if ((what & EV_CLOSED) != 0)
		l->ended = true;
	if ((what & EV_WRITE) != 0)
		l->blocked = false;
}

ssize_t
leg_recv(struct leg *l, void *dst, size_t n)
{
	ssize_t r;

	do
		r = recv(l->edge.fd, dst, n, MSG_DONTWAIT);
	while (r == -1 && errno == EINTR);
	l->recheck = false;
	if (r == -1) {
		l->ready = false;
	} else if (r > 0 && (size_t)r < n && !l->ended) {
		/*
		 * That was all; what comes later is another edge. But a reset that came together
		 * with the bytes was in the same edge, and libevent does not report it apart.
		 */
		l->ready = false;
		l->recheck = true;
	}
	return r;
}

ssize_t
leg_send(struct leg *l, const void *src, size_t n, bool more)
{
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0);
	ssize_t r;

	do
		r = send(l->edge.fd, src, n, flags);
	while (r == -1 && errno == EINTR);
	l->blocked = r == -1 ? errno == EAGAIN || errno == EWOULDBLOCK : (size_t)r < n;
	return r;
}

bool
leg_broken(const struct leg *l)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (l->edge.fd == -1 || getsockopt(l->edge.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
		return false;
	return info.tcpi_state == TCP_CLOSE;
}

bool
leg_sent_all(const struct leg *l)
{
	int left = 0;

	return l->edge.fd != -1 && ioctl(l->edge.fd, SIOCOUTQ, &left) == 0 && left == 0;
}

bool
leg_sends(const struct leg *l, unsigned within_ms)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return l->edge.fd != -1 &&
	    getsockopt(l->edge.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	    info.tcpi_last_data_sent < within_ms;
}

void
leg_tcp(int fd, unsigned user_timeout_ms)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
}

/*
 * The idle time last: where keepalives are on, it starts their timer anew, and a peer that has been
 * silent for longer is asked at once.
 */
static void
keepalive_set(int fd, int on, int idle, int interval, int count)
{
	if (on != 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	}
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/*
 * Between half of that time and all of it. The kernel's timers of so many seconds fire together
 * where they end within two: of thousands that came in one burst each would ask at the same moment,
 * in step for ever, and what a queue has no room for is lost.
 */
static int
spread(int fd, unsigned ms)
{
	const int s = (int)(ms / 1000);

	return s - fd % (s / 2 + 1);
}

static void
keepalive_as_policy(int fd, const struct pol_tcp *tcp)
{
	keepalive_set(fd, tcp->keepalive_idle != 0, spread(fd, tcp->keepalive_idle),
	    spread(fd, tcp->keepalive_interval), (int)tcp->keepalive_count);
}

void
leg_keep(struct leg *l, const struct pol_tcp *tcp)
{
	if (l->care != LEG_NEW || l->edge.fd == -1 || tcp->keepalive_idle == 0)
		return;
	l->care = LEG_AS_POLICY;
	keepalive_as_policy(l->edge.fd, tcp);
}

void
leg_care_set(struct leg *l, enum leg_care care, const struct pol_tcp *tcp)
{
	unsigned timeout = care == LEG_AS_POLICY ? tcp->node_timeout : 0;

	if (l->edge.fd == -1 || l->care == care)
		return;
	l->care = care;
	/* With a TCP_USER_TIMEOUT the kernel counts neither keepalives nor repeats. */
	setsockopt(l->edge.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	if (care == LEG_AS_POLICY)
		keepalive_as_policy(l->edge.fd, tcp);
	else
		keepalive_set(l->edge.fd, care == LEG_ASKING, 1, 1, ASKING_COUNT);
}

bool
leg_news_get(const struct leg *l, struct leg_news *news)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (l->edge.fd == -1 || getsockopt(l->edge.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
		return false;
	*news = (struct leg_news){
		.unanswered = (unsigned)info.tcpi_probes + info.tcpi_retransmits,
		.silence_ms = info.tcpi_last_ack_recv < info.tcpi_last_data_recv ?
		    info.tcpi_last_ack_recv : info.tcpi_last_data_recv,
		.unacked = info.tcpi_unacked > 0,
		.stalled = l->blocked && info.tcpi_unacked == 0,
	};
	return true;
}
