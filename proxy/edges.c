/* edges.c: the sockets of a worker's connections: an epoll inside its loop, the lone ones in it */
#include "config.h"

#include "proxy/edges.h"

#include "base/magic.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <event2/event_struct.h>

#define EDGES_MAGIC 0xed6e5001u

#define BATCH 64
/* Batches, before the loop's timers and other sockets have their turn. */
#define ROUNDS 4
/* To be lent an event costs as much as four lone edges. */
#define LONE_MANY 64
/* Events to lend; the numbers of those that are lent count from 1. */
#define LENT_MAX 128

struct edges {
	MAGIC_MEMBER
	int epoll;
	int n;				/* in the batch, while it is gone through */
	unsigned next;			/* of `lent`: whose turn it is to be lent to another one */
	struct event_base *base;
	struct event *ev;
	event_callback_fn cb;
	struct epoll_event batch[BATCH];
	struct lent {
		struct edge *edge;	/* NULL: it is not lent */
		struct event ev;
	} lent[LENT_MAX];
};

/* As libevent says it. */
static inline short
edges_what(uint32_t events)
{
	if ((events & (EPOLLERR | EPOLLHUP)) != 0 &&
	    ((events & EPOLLERR) != 0 || (events & EPOLLRDHUP) == 0))
		return EV_READ | EV_WRITE;
	return (short)(((events & EPOLLIN) != 0 ? EV_READ : 0) |
	    ((events & EPOLLOUT) != 0 ? EV_WRITE : 0) |
	    ((events & EPOLLRDHUP) != 0 ? EV_CLOSED : 0));
}

static int
edges_watch(struct edges *e, struct edge *x)
{
	struct epoll_event all = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = x,
	};

	return epoll_ctl(e->epoll, EPOLL_CTL_ADD, x->fd, &all);
}

/* What was about to be said of it is not: it may have another socket by then, or be none. */
static void
edges_unwatch(struct edges *e, const struct edge *x)
{
	struct epoll_event none = { 0 };

	(void)epoll_ctl(e->epoll, EPOLL_CTL_DEL, x->fd, &none);
	for (int i = 0; i < e->n; i++)
		if (e->batch[i].data.ptr == x)
			e->batch[i].data.ptr = NULL;
}

static void
lent_back(struct lent *l)
{
	event_del(&l->ev);
	l->edge->lent = 0;
	l->edge = NULL;
}

/*
 * Where there is no memory all stays as it is. It is watched twice for a moment, and the new one
 * reports all that is so: that is nothing to who reads until there is no more.
 */
static void
lend(struct edges *e, struct edge *x)
{
	struct lent *l = &e->lent[e->next];

	x->lone = 0;
	if (l->edge != NULL) {
		if (edges_watch(e, l->edge) == -1)
			return;
		lent_back(l);
	}
	if (event_assign(&l->ev, e->base, x->fd,
	        EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, e->cb, x) == -1 ||
	    event_add(&l->ev, NULL) == -1)
		return;
	l->edge = x;
	x->lent = (uint8_t)++e->next;
	e->next %= LENT_MAX;
	edges_unwatch(e, x);
}

static inline int
edges_take(struct edges *e)
{
	const int n = epoll_wait(e->epoll, e->batch, BATCH, 0);

	e->n = n;
	for (int i = 0; i < n; i++) {
		struct edge *x = e->batch[i].data.ptr;

		if (x != NULL)
			e->cb(-1, edges_what(e->batch[i].events), x);
	}
	e->n = 0;
	return n;
}

/*
 * Where a batch had several there are mostly more by its end: to ask at once costs one system call,
 * and by way of the loop two.
 */
static void
edges_cb(evutil_socket_t fd, short what, void *arg)
{
	struct edges *e = arg;
	struct edge *x;
	int rounds = ROUNDS, n;

	(void)fd;
	(void)what;
	MAGIC_CHECK(e, EDGES_MAGIC);
	do
		n = edges_take(e);
	while (n > 1 && --rounds > 0);
	if (n != 1 || rounds < ROUNDS)
		return;
	x = e->batch[0].data.ptr;
	if (x != NULL && ++x->lone == LONE_MANY)
		lend(e, x);
}

struct edges *
edges_new(struct event_base *base, event_callback_fn cb)
{
	struct edges *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	MAGIC_SET(e, EDGES_MAGIC);
	e->base = base;
	e->cb = cb;
	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (e->epoll != -1)
		e->ev = event_new(base, e->epoll, EV_READ | EV_PERSIST, edges_cb, e);
	if (e->ev == NULL || event_add(e->ev, NULL) == -1)
		edges_free(&e);
	return e;
}

void
edges_free(struct edges **ep)
{
	struct edges *e = *ep;

	if (e == NULL)
		return;
	if (e->ev != NULL)
		event_free(e->ev);
	if (e->epoll != -1)
		close(e->epoll);
	MAGIC_CLEAR(e);
	free(e);
	*ep = NULL;
}

int
edges_add(struct edges *e, struct edge *x)
{
	x->watched = edges_watch(e, x) == 0;
	return x->watched ? 0 : -1;
}

void
edges_del(struct edges *e, struct edge *x)
{
	if (!x->watched)
		return;
	if (x->lent != 0)
		lent_back(&e->lent[x->lent - 1]);
	else
		edges_unwatch(e, x);
	x->watched = false;
}
