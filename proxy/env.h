/* env.h: what all connections of one worker share */
#ifndef PROXY_ENV_H
#define PROXY_ENV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/log.h"
#include "inspect/mediate.h"
#include "nodes/route.h"

struct conn;
struct event;
struct event_base;
struct limits;
struct policy;
struct splice_pool;
struct stats;
struct vc_reset;

/* What is received at a time. Shared by all connections of a worker: none owns a buffer. */
#define ENV_SCRATCH 131072

TAILQ_HEAD(conn_list, conn);

/* It belongs to the worker's thread, and lives as long as the worker. */
struct conn_env {
	struct event_base *base;
	struct policy *policy;		/* in force now; the worker's reference */
	struct stats *stats;
	struct limits *limits;		/* of all workers */
	struct splice_pool *pipes;
	struct event *turn;		/* for connections that had more to read than one turn takes */
	struct event *reap;		/* frees what died in this turn of the loop */
	struct conn_list conns;
	struct conn_list dead;
	struct conn_list turns;		/* see proxy/recv.c */
	size_t nconns;
	size_t nturns;
	uint64_t next_id;
	unsigned id_step;		/* as many workers count */
	void (*vc_reset)(void *arg, const struct vc_reset *r);	/* on every worker */
	void *vc_reset_arg;
	struct log_limit log;
	struct route_env route;
	struct mediate_env mediate;
	uint8_t scratch[ENV_SCRATCH];
};

#endif
