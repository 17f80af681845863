/* leg.h: one socket of a connection: edges, options, reading, writing, closing */
#ifndef PROXY_LEG_H
#define PROXY_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proxy/edges.h"

struct pol_tcp;

/* What a leg's kernel does about a peer that says nothing. */
enum leg_care {
	LEG_NEW,		/* no keepalives yet */
	LEG_AS_POLICY,		/* keepalives and TCP_USER_TIMEOUT as policy has them */
	/* a keepalive a second, and no time-out for minutes: see proxy/watch.h */
	LEG_ASKING,
	/* no keepalives and no time-out: bytes are repeated as long as TCP does */
	LEG_PATIENT,
};

/* What a leg's kernel has heard of its peer. */
struct leg_news {
	/* keepalives, window probes, repeats of bytes: since the last answer */
	unsigned unanswered;
	unsigned silence_ms;	/* since then */
	bool unacked;		/* bytes are on their way */
	bool stalled;		/* bytes wait, none is on its way: the peer has no room for them */
};

/*
 * edge.fd -1: not open. Its edges are watched from the first byte to the last, without an
 * epoll_ctl() for each, and a peer's death is reported while nothing is read. What an edge reported
 * is kept here until the kernel says that there is no more.
 */
struct leg {
	struct edge edge;	/* what the callback of the edges gets */
	bool reading;		/* its bytes are wanted now */
	bool ready;		/* there may be bytes, or an end, to be received */
	bool ended;		/* an end is behind the bytes: a short read is not the last one */
	bool recheck;		/* the last read was short: an end may have come with its bytes */
	bool blocked;		/* the kernel takes no more until EV_WRITE */
	uint8_t care;		/* enum leg_care */
};

void leg_init(struct leg *l);
/*
 * Takes over a non-blocking socket, of a node only after connect(2). The callback of the edges
 * calls leg_note() first. -1 when it cannot be watched: the socket is still the caller's.
 */
int leg_open(struct leg *l, struct edges *e, int fd) __attribute__((warn_unused_result));
/* reset: the peer gets RST instead of FIN. */
void leg_close(struct leg *l, struct edges *e, bool reset);

/* As leg_open(), but unwatched: see leg_watch(). */
void leg_take(struct leg *l, int fd);

/* Nothing is reported until leg_watch(): then all that is so by then, as at the beginning. */
void leg_unwatch(struct leg *l, struct edges *e);
/* -1: it cannot be watched. */
int leg_watch(struct leg *l, struct edges *e) __attribute__((warn_unused_result));

/* Notes what an event reported. */
void leg_note(struct leg *l, short what);

/* As recv(2)/send(2), never blocking, without SIGPIPE and EINTR; they keep ready and blocked. */
ssize_t leg_recv(struct leg *l, void *dst, size_t n);
/* more: the rest of a message follows. */
ssize_t leg_send(struct leg *l, const void *src, size_t n, bool more);

/* Has the peer gone while its bytes were not read? Costs a system call. */
bool leg_broken(const struct leg *l);

/* Has the peer's kernel taken everything that was sent? */
bool leg_sent_all(const struct leg *l);

/* Have bytes gone to the peer within that time? Where it takes none, none go. */
bool leg_sends(const struct leg *l, unsigned within_ms);

/*
 * TCP_USER_TIMEOUT (ms) and no delay; a failure is not worth a connection. What is accepted from a
 * listening socket has its options.
 */
void leg_tcp(int fd, unsigned user_timeout_ms);

/*
 * Keepalives from now on, as policy has them; once is enough. They cost four system calls and a
 * timer: nothing for a connection that is over before it could ever send one.
 */
void leg_keep(struct leg *l, const struct pol_tcp *tcp);

/* For a leg to a node. Nothing where it is so already. */
void leg_care_set(struct leg *l, enum leg_care care, const struct pol_tcp *tcp);

/* False when there is no telling. */
bool leg_news_get(const struct leg *l, struct leg_news *news);

#endif
