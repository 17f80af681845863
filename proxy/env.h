/* env.h: what all connections of one worker share */
#ifndef PROXY_ENV_H
#define PROXY_ENV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "base/log.h"
#include "inspect/mediate.h"
#include "nodes/own.h"
#include "nodes/route.h"

struct conn;
struct held;
struct limits;
struct policy;
struct splice_pool;
struct stats;
struct vc_reset;
struct worker;

/* What is received at a time. Shared by all connections of a worker: none owns a buffer. */
#define ENV_SCRATCH 131072

TAILQ_HEAD(conn_list, conn);

/* What a connection calls of the files above it, which no file includes: recv, progress, worker. */
struct conn_ops {
	event_callback_fn leg;		/* of a leg; arg: its side */
	event_callback_fn timer;	/* arg: the connection */
	void (*wake)(void *conn);	/* for mediate_init() */
	/* On every worker: the connections that r means end. */
	void (*vc_reset)(struct worker *w, const struct vc_reset *r);
};

/* It belongs to the worker's thread, and lives as long as the worker. */
struct conn_env {
	struct event_base *base;
	struct policy *policy;		/* in force now; the worker's reference */
	struct stats *stats;
	struct limits *limits;		/* of all workers */
	struct splice_pool *pipes;
	/* for connections that had more to read than one turn takes */
	struct event *turn;
	struct event *reap;		/* frees what died in this turn of the loop */
	struct conn_list conns;
	struct conn_list dead;
	struct conn_list turns;		/* see proxy/turn.c */
	size_t nconns;
	size_t nturns;
	uint64_t next_id;
	unsigned id_step;		/* as many workers count */
	const struct conn_ops *ops;
	struct worker *worker;		/* for ops->vc_reset() alone */
	unsigned patience;		/* with those without a logon: proxy/patience.h */
	struct held *held;		/* proxy/held.c's */
	struct log_limit log;
	struct own own;
	struct route_env route;
	struct mediate_env mediate;
	uint8_t scratch[ENV_SCRATCH];
};

#endif
