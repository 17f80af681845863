/* worker_orders.c: what a worker is told from other threads, each done on its loop */
#include "config.h"

#include "proxy/worker.h"

#include "auth/keyc.h"
#include "base/clock.h"
#include "base/log.h"
#include "inspect/vc_reset.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/mailbox.h"
#include "proxy/watch.h"
#include "state/state.h"

#include <stdlib.h>
#include <unistd.h>

#define ORDER_MAGIC 0x04de4ed0u

/* A call to a worker that carries more than a pointer. */
struct order {
	MAGIC_MEMBER
	struct worker *w;
	struct policy *policy;
	struct node *node;
	struct state_key key;
	struct vc_reset reset;
	int fd;
	void (*done)(void *arg, struct conn_info *list, size_t n);
	void *arg;
};

static void
order_post(struct order order, void (*call)(void *arg))
{
	struct order *o = malloc(sizeof(*o));

	if (o != NULL) {
		*o = order;
		MAGIC_SET(o, ORDER_MAGIC);
		if (mailbox_post(order.w->mailbox, call, o) == 0)
			return;
	}
	free(o);
	log_error("out of memory: an order to worker %u is lost", order.w->index);
	policy_unref(&order.policy);
	node_unref(&order.node);
	if (order.fd > 0)
		close(order.fd);
	if (order.done != NULL)
		order.done(order.arg, NULL, 0);
}

static void
policy_call(void *arg)
{
	struct order *o = arg;

	MAGIC_CHECK(o, ORDER_MAGIC);
	worker_use_policy(o->w, o->policy);
	policy_unref(&o->policy);
	free(o);
}

void
worker_policy(struct worker *w, struct policy *p)
{
	order_post((struct order){ .w = w, .policy = policy_ref(p) }, policy_call);
}

static void
keyd_call(void *arg)
{
	struct order *o = arg;

	MAGIC_CHECK(o, ORDER_MAGIC);
	if (o->w->keyc != NULL)
		keyc_attach(o->w->keyc, o->fd);
	else
		close(o->fd);
	free(o);
}

void
worker_keyd(struct worker *w, int fd)
{
	order_post((struct order){ .w = w, .fd = fd }, keyd_call);
}

static void
node_doubt_call(void *arg)
{
	struct order *o = arg;
	uint64_t now = clock_ms();
	struct conn *c, *next;

	MAGIC_CHECK(o, ORDER_MAGIC);
	for (c = TAILQ_FIRST(&o->w->env.conns); c != NULL; c = next) {
		next = conn_next(c);
		if (conn_node(c) == o->node)
			watch_tick(c, now);
	}
	node_unref(&o->node);
	free(o);
}

void
worker_node_doubt(struct worker *w, struct node *n)
{
	order_post((struct order){ .w = w, .node = node_ref(n) }, node_doubt_call);
}

static void
claim_lost_call(void *arg)
{
	struct order *o = arg;
	struct conn *c, *next;

	MAGIC_CHECK(o, ORDER_MAGIC);
	for (c = TAILQ_FIRST(&o->w->env.conns); c != NULL; c = next) {
		next = conn_next(c);
		if (conn_is_of(c, &o->key))
			conn_end(c, CLOSE_CLAIM_LOST);
	}
	free(o);
}

void
worker_claim_lost(struct worker *w, const struct state_key *key)
{
	order_post((struct order){ .w = w, .key = *key }, claim_lost_call);
}

static void
vc_reset_call(void *arg)
{
	struct order *o = arg;
	struct conn *c, *next;

	MAGIC_CHECK(o, ORDER_MAGIC);
	for (c = TAILQ_FIRST(&o->w->env.conns); c != NULL; c = next) {
		const struct vc_conn vc = conn_vc(c);

		next = conn_next(c);
		if (vc_reset_ends(&o->reset, &vc))
			conn_end(c, CLOSE_VC_RESET);
	}
	free(o);
}

void
worker_vc_reset(struct worker *w, const struct vc_reset *r)
{
	order_post((struct order){ .w = w, .reset = *r }, vc_reset_call);
}

static void
describe_call(void *arg)
{
	struct order *o = arg;
	struct conn_info *list = calloc(o->w->env.nconns + 1, sizeof(*list));
	struct conn *c;
	size_t n = 0;

	MAGIC_CHECK(o, ORDER_MAGIC);
	for (c = TAILQ_FIRST(&o->w->env.conns); list != NULL && c != NULL; c = conn_next(c))
		conn_describe(c, &list[n++]);
	o->done(o->arg, list, n);
	free(o);
}

void
worker_describe(struct worker *w, void (*done)(void *arg, struct conn_info *list, size_t n),
    void *arg)
{
	order_post((struct order){ .w = w, .done = done, .arg = arg }, describe_call);
}
