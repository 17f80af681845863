/* worker_orders.c: what a worker is told from other threads, each done on its loop */
#include "config.h"

#include "proxy/worker.h"

#include "auth/keyc.h"
#include "base/clock.h"
#include "base/log.h"
#include "inspect/vc_reset.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/awake.h"
#include "proxy/conn.h"
#include "proxy/describe.h"
#include "proxy/listen.h"
#include "proxy/lost.h"
#include "proxy/mailbox.h"
#include "proxy/parting.h"
#include "proxy/tap.h"
#include "proxy/tapped.h"
#include "proxy/vc_index.h"
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
	struct tap *tap;
	bool on;
	struct state_key key;
	enum close_reason why;
	struct vc_reset reset;
	int fd;
	described_f done;
	const struct filter *filter;	/* the same */
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
	tap_unref(&order.tap);
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

/*
 * Whoever waits for an answer is looked at now. The others are with the next tick, which spreads
 * that: of thousands of idle ones each would ask its node in the same moment of every second, what
 * a queue has no room for is lost again and again, and that counts against the node.
 */
static void
node_doubt_call(void *arg)
{
	struct order *o = arg;
	uint64_t now = clock_ms();
	struct conn *c, *next;

	MAGIC_CHECK(o, ORDER_MAGIC);
	for (c = TAILQ_FIRST(&o->w->env.conns); c != NULL; c = next) {
		next = conn_next(c);
		if (conn_node(c) != o->node)
			continue;
		awake_stir(c);
		if (c->owed_since_ms != 0)
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
tap_call(void *arg)
{
	struct order *o = arg;

	MAGIC_CHECK(o, ORDER_MAGIC);
	if (o->on)
		tapped_add(&o->w->env, o->tap);
	else
		tapped_remove(&o->w->env, o->tap);
	tap_unref(&o->tap);
	free(o);
}

void
worker_tap(struct worker *w, struct tap *t, bool on)
{
	order_post((struct order){ .w = w, .tap = tap_ref(t), .on = on }, tap_call);
}

static void
claim_lost_call(void *arg)
{
	struct order *o = arg;

	MAGIC_CHECK(o, ORDER_MAGIC);
	if (lost_add(o->w->env.lost, &o->key, 0, clock_ms(), o->why) == -1)
		log_error("out of memory: a client that is to live elsewhere stays on worker %u",
		    o->w->index);
	free(o);
}

void
worker_claim_lost(struct worker *w, const struct state_key *key, enum close_reason why)
{
	order_post((struct order){ .w = w, .key = *key, .why = why }, claim_lost_call);
}

static void
vc_reset_call(void *arg)
{
	struct order *o = arg;

	MAGIC_CHECK(o, ORDER_MAGIC);
	vc_index_reset(&o->w->env, &o->reset);
	free(o);
}

void
worker_vc_reset(struct worker *w, const struct vc_reset *r)
{
	order_post((struct order){ .w = w, .reset = *r }, vc_reset_call);
}

/* Clients that are to go. */
#define PART_MAGIC 0x70617274u

struct part {
	MAGIC_MEMBER
	struct worker *w;
	enum worker_parting what;
	struct parting who;
	uint32_t quiet_s;
	worker_parted_f done;
	void *arg;
};

static void
part_call(void *arg)
{
	struct part *p = arg;
	struct conn_env *env = &p->w->env;
	uint32_t result = 0;

	MAGIC_CHECK(p, PART_MAGIC);
	switch (p->what) {
	case WORKER_PARK:
		result = parting_park(env, &p->who, p->quiet_s);
		break;
	case WORKER_RESUME:
		parting_resume(env, &p->who);
		break;
	case WORKER_GO:
		parting_go(env, &p->who, p->quiet_s);
		break;
	case WORKER_END:
		if (p->done != NULL)
			result = (uint32_t)parting_end(env, &p->who);
		else
			parting_end_soon(env, &p->who);
		break;
	}
	if (p->done != NULL)
		p->done(p->arg, result);
	MAGIC_CLEAR(p);
	free(p);
}

void
worker_part(struct worker *w, enum worker_parting what, const struct parting *who,
    uint32_t quiet_s, worker_parted_f done, void *arg)
{
	struct part *p = calloc(1, sizeof(*p));

	if (p != NULL) {
		MAGIC_SET(p, PART_MAGIC);
		p->w = w;
		p->what = what;
		p->who = *who;
		p->quiet_s = quiet_s;
		p->done = done;
		p->arg = arg;
		if (mailbox_post(w->mailbox, part_call, p) == 0)
			return;
	}
	free(p);
	log_error("out of memory: an order to worker %u is lost", w->index);
	if (done != NULL)
		done(arg, what == WORKER_PARK ? UINT32_MAX : 0);
}

static void
unlisten_call(void *arg)
{
	struct order *o = arg;

	MAGIC_CHECK(o, ORDER_MAGIC);
	while (o->w->nlisteners > 0)
		listener_free(&o->w->listeners[--o->w->nlisteners]);
	free(o);
}

void
worker_unlisten(struct worker *w)
{
	order_post((struct order){ .w = w }, unlisten_call);
}

static void
describe_call(void *arg)
{
	struct order *o = arg;

	MAGIC_CHECK(o, ORDER_MAGIC);
	describe_start(&o->w->env, o->filter, o->done, o->arg);
	free(o);
}

void
worker_describe(struct worker *w, const struct filter *f, described_f done, void *arg)
{
	order_post((struct order){ .w = w, .filter = f, .done = done, .arg = arg },
	    describe_call);
}
