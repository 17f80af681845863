/* env.h: what all connections of one worker share */
#ifndef PROXY_ENV_H
#define PROXY_ENV_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "base/log.h"
#include "inspect/mediate.h"
#include "nodes/own.h"
#include "nodes/route.h"
#include "nodes/traffic.h"
#include "policy/conf.h"
#include "proxy/tap.h"

struct conn;
struct describing;
struct edges;
struct held;
struct lasts;
struct limits;
struct lost;
struct policy;
struct splice_pool;
struct stats;
struct strangers;
struct tapped;
struct vc_index;
struct vc_reset;
struct worker;

/* What is received at a time. Shared by all connections of a worker: none owns a buffer. */
#define ENV_SCRATCH 131072

TAILQ_HEAD(conn_list, conn);
LIST_HEAD(tapped_list, tapped);

/* A power of two. */
#define ENV_TAPPED 256

/* Somebody goes through the connections over several turns: the next one. */
struct conn_cursor {
	struct conn *next;		/* NULL: there is none */
	struct describing *whose;	/* of describe.c; NULL: of others */
	LIST_ENTRY(conn_cursor) entry;
};

/* A listener's connections at this worker: written by its thread, read by any. */
struct listen_count {
	_Atomic uint64_t accepted, closed;
	_Atomic uint64_t taken;		/* of the accepted: by the process before this one */
};

static inline void
listen_accepted(struct listen_count *l)
{
	atomic_store_explicit(&l->accepted,
	    atomic_load_explicit(&l->accepted, memory_order_relaxed) + 1, memory_order_relaxed);
}

static inline void
listen_closed(struct listen_count *l)
{
	atomic_store_explicit(&l->closed,
	    atomic_load_explicit(&l->closed, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* What a connection calls of the files above it, which no file includes: recv, progress, worker. */
struct conn_ops {
	event_callback_fn timer;	/* arg: the connection */
	void (*kill)(struct conn *c, enum close_reason why);	/* for strangers.c and vc_index.c */
	/* On every worker: the connections that r means end. */
	void (*vc_reset)(struct worker *w, const struct vc_reset *r);
	/* The same: the client's that its hung node does not answer either. */
	void (*hung)(struct worker *w, const struct state_key *client);
};

/* It belongs to the worker's thread, and lives as long as the worker. */
struct conn_env {
	struct event_base *base;
	struct edges *edges;		/* of all legs */
	struct policy *policy;		/* in force now; the worker's reference */
	struct stats *stats;
	struct limits *limits;		/* of all workers */
	struct lasts *lasts;		/* the same; NULL: nobody keeps them */
	struct splice_pool *pipes;
	/* for connections that had more to read than one turn takes */
	struct event *turn;
	struct event *reap;		/* frees what died in this turn of the loop */
	struct conn_list conns;
	const struct conf_listen *listen;	/* what smbgate listens to: nlisten of them */
	size_t nlisten;
	LIST_HEAD(, conn_cursor) cursors;	/* in conns */
	struct conn_list dead;
	struct conn_list awake;		/* see proxy/awake.h */
	size_t nawake;
	struct conn *round;		/* the next one of all to be looked at; NULL: the first */
	size_t in_turn;			/* so many from there on, before the next tick */
	size_t to_look;			/* so many of awake, the same */
	size_t step;			/* so many at a time, ... */
	unsigned pause_ms;		/* ... and after so long the next ones */
	struct conn *asked;		/* the next one whose sessions may be over; NULL: none */
	unsigned ended;			/* sesstab_ended() when they were asked last */
	struct conn_list turns;		/* see proxy/turn.c */
	size_t nconns;
	struct listen_count listens[CONF_LISTEN_MAX];	/* by conf_listen's index */
	size_t nturns;
	uint64_t next_id;
	_Atomic uint64_t taken_id;	/* the greatest that was taken over; read by any thread */
	unsigned id_step;		/* as many workers count */
	uint32_t now_s;			/* of the last tick */
	const struct conn_ops *ops;
	struct worker *worker;		/* for ops alone */
	unsigned patience;		/* with those without a logon: proxy/patience.h */
	bool strangers_over;		/* their budget is: see strangers_settle() */
	struct held *held;		/* proxy/held.c's */
	struct strangers *strangers;
	struct own own;
	struct vc_index *vc;
	struct lost *lost;
	struct tap *taps[TAPS_MAX];	/* references; see proxy/tapped.h */
	unsigned ntaps;
	struct tapped_list tapped[ENV_TAPPED];	/* its connections, by number */
	struct route_env route;
	struct mediate_env mediate;
	struct traffic traffic;
	uint8_t scratch[ENV_SCRATCH];
};

#endif
