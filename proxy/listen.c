/* listen.c: a listening socket of one worker: accept, limits, running out of descriptors */
#include "config.h"

#include "proxy/listen.h"

#include "base/clock.h"
#include "base/magic.h"
#include "nodes/source.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/env.h"
#include "proxy/leg.h"
#include "proxy/limits.h"
#include "stats/refusals.h"
#include "stats/refused.h"
#include "stats/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define BACKLOG 4096
/* Connections accepted in one go, before the existing ones have their turn. */
#define ACCEPT_ROUNDS 64
/* How long accepting pauses when no descriptor is left. */
#define PAUSE_MS 100

#define LISTENER_MAGIC 0x115e7e12u

struct listener {
	MAGIC_MEMBER
	struct conn_env *env;
	const struct conf_listen *conf;
	int fd;
	int reserve;		/* given up for a moment to accept one client, and to close it */
	struct event *ev;
	struct event *resume;
	bool paused;		/* listener_pause() */
};

static int
tcp_socket(const struct conf_listen *l, bool both, bool reuseport)
{
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&l->address, &ss);
	int on = 1, v6only = !both, saved;
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	if (reuseport)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (l->intercept && source_transparent(fd, ss.ss_family) == -1)
		goto fail;
	if (bind(fd, (struct sockaddr *)&ss, len) == -1)
		goto fail;
	return fd;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int
listen_try(const struct conf_listen *l, bool both)
{
	/* Without SO_REUSEPORT: a second smbgate must not join the first one unnoticed. */
	int fd = tcp_socket(l, both, false);

	if (fd != -1)
		close(fd);
	return fd == -1 ? -1 : 0;
}

int
listen_bind(const struct conf_listen *l, bool both, int *fds, unsigned n)
{
	unsigned i = 0;
	int saved;

	if (listen_try(l, both) == -1)
		return -1;
	for (; i < n; i++) {
		fds[i] = tcp_socket(l, both, true);
		if (fds[i] == -1 || listen(fds[i], BACKLOG) == -1)
			goto fail;
	}
	return 0;
fail:
	saved = errno;
	for (unsigned k = 0; k <= i; k++)
		if (fds[k] != -1)
			close(fds[k]);
	errno = saved;
	return -1;
}

const char *
listen_adopt(const struct conf_listen *l, bool both, int fd)
{
	const int family = addr_is_v4(&l->address.addr) ? AF_INET : AF_INET6;
	int v6only = 0;
	socklen_t len = sizeof(v6only);

	if (both && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) == 0 && v6only != 0)
		return "takes no IPv4, and cannot be made to: keep a listener of its own for that, "
		       "or restart smbgate";
	if (l->intercept && source_transparent(fd, family) == -1)
		return "cannot be made to intercept: that needs CAP_NET_RAW";
	return NULL;
}

static void
listener_refuse(struct listener *l, int fd, const struct addrport *client, enum close_reason why)
{
	struct refusal r = { .kind = (uint8_t)refusals_of_close(why), .local = l->conf->address,
		.at_ms = clock_ms() };

	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	/* Whoever hears of it finds it counted, and noted. */
	stats_closed(l->env->stats, why);
	if (client != NULL && l->env->mediate.refused != NULL) {
		r.client = *client;
		refused_note(l->env->mediate.refused, &r);
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* It takes memory, of the kernel's too: without that, it is tried again. */
static void
listener_accept(struct listener *l)
{
	const struct timeval tv = { 0, PAUSE_MS * 1000 };

	if (event_add(l->ev, NULL) == -1)
		event_add(l->resume, &tv);
}

static void
listener_resume_cb(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(l, LISTENER_MAGIC);
	if (l->reserve == -1)
		l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!l->paused)
		listener_accept(l);
}

/*
 * No descriptor is left, or none for clients. The reserve is given up to accept the first of the
 * queue and close it, so that its client knows. Then accepting pauses: a level-triggered listener
 * would spin.
 */
static void
pause_accept(struct listener *l)
{
	const struct timeval tv = { 0, PAUSE_MS * 1000 };
	int fd;

	if (l->reserve != -1) {
		close(l->reserve);
		l->reserve = -1;
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd != -1)
			listener_refuse(l, fd, NULL, CLOSE_NO_FILES);
		l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	stats_add(l->env->stats, STAT_accept_paused, 1);
	if (event_add(l->resume, &tv) == 0)
		event_del(l->ev);
}

static bool
out_of_something(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

static void
listener_accept_cb(evutil_socket_t lfd, short what, void *arg)
{
	struct listener *l = arg;

	(void)what;
	MAGIC_CHECK(l, LISTENER_MAGIC);
	for (int i = 0; i < ACCEPT_ROUNDS; i++) {
		enum close_reason why = CLOSE_UNAUTH_LIMIT;
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		struct addrport client;
		unsigned delay = 0;
		int fd;

		if (!limits_take(l->env->limits)) {
			pause_accept(l);
			return;
		}
		fd = accept4(lfd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd == -1) {
			limits_give(l->env->limits);
			if (out_of_something(errno))
				pause_accept(l);
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		if (addrport_from_sa(&client, (struct sockaddr *)&ss) == -1) {
			limits_give(l->env->limits);
			close(fd);
			continue;
		}
		/* A proxy is not limited: its clients are, once its header has named them. */
		if (!conf_is_proxy(l->conf, &client.addr) &&
		    !limits_enter(l->env->limits, &l->env->policy->limits, &client.addr, clock_ms(),
		        &delay, &why)) {
			limits_give(l->env->limits);
			listener_refuse(l, fd, &client, why);
			continue;
		}
		conn_new(l->env, fd, l->conf, &client, delay);
	}
}

void
listener_policy(struct listener *l)
{
	leg_tcp(l->fd, l->env->policy->tcp.client_timeout);
}

struct listener *
listener_new(struct conn_env *env, int fd, const struct conf_listen *conf)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	MAGIC_SET(l, LISTENER_MAGIC);
	l->env = env;
	l->fd = fd;
	l->conf = conf;
	listener_policy(l);
	l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	l->ev = event_new(env->base, fd, EV_READ | EV_PERSIST, listener_accept_cb, l);
	l->resume = evtimer_new(env->base, listener_resume_cb, l);
	if (l->ev == NULL || l->resume == NULL || event_add(l->ev, NULL) == -1)
		listener_free(&l);
	return l;
}

void
listener_pause(struct listener *l)
{
	l->paused = true;
	event_del(l->ev);
}

void
listener_go_on(struct listener *l)
{
	l->paused = false;
	listener_accept(l);
}

void
listener_free(struct listener **lp)
{
	struct listener *l = *lp;

	if (l == NULL)
		return;
	if (l->ev != NULL)
		event_free(l->ev);
	if (l->resume != NULL)
		event_free(l->resume);
	if (l->reserve != -1)
		close(l->reserve);
	close(l->fd);
	MAGIC_CLEAR(l);
	free(l);
	*lp = NULL;
}
