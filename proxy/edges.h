/* edges.h: the sockets of a worker's connections: an epoll inside its loop, the lone ones in it */
#ifndef PROXY_EDGES_H
#define PROXY_EDGES_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

/*
 * One event of libevent's takes 200 bytes and six lines of the cache. A connection has two sockets,
 * and both want the same for life: every edge. So the loop has one event for all of them, an epoll.
 * By way of that a lone edge costs two system calls more, half a microsecond: a socket whose edges
 * come alone again and again is lent an event of libevent's. There are a few of these.
 */
struct edges;

/* One socket's. All but fd, which is -1 or open, is of edges.c alone, and zero at first. */
struct edge {
	int fd;
	bool watched;
	uint8_t lone;			/* so often it came alone */
	uint8_t lent;			/* the number of its event; 0: none */
};

/* cb gets a struct edge, and what an event of libevent's with EV_ET says. NULL: no memory. */
struct edges *edges_new(struct event_base *base, event_callback_fn cb);
void edges_free(struct edges **e);

/* -1: it cannot be watched. */
int edges_add(struct edges *e, struct edge *x) __attribute__((warn_unused_result));
/*
 * Nothing is reported any more. To be called before the socket is closed: another process may have
 * it too. Nothing where it is not watched.
 */
void edges_del(struct edges *e, struct edge *x);

#endif
