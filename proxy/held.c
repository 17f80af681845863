/* held.c: connections that no node takes: each waits a moment, in case one comes back */
#include "config.h"

#include "proxy/held.h"

#include "auth/keyhash.h"
#include "base/clock.h"
#include "base/magic.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/dialled.h"
#include "proxy/env.h"
#include "proxy/patience.h"
#include "stats/stats.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <event2/event.h>

/*
 * A client that is closed at once comes back at once, thousands of times a second. One that waits a
 * moment for its end comes once a moment. It costs a descriptor and is counted among those without
 * a logon: where they are many, the moment is shorter.
 *
 * Who dials a server that is away is refused at once, as directly. But a direct refusal comes
 * before the connection, and clients wait before they try again. So it is once a moment for a
 * client and a server; those that come sooner are held as well. Of a server that is hung a client
 * would hear nothing directly, either.
 */
#define HELD_MS 1000
#define REFUSALS 1024
/* While somebody is held, nodes are looked at this often. */
#define POLL_MS 50

#define HELD_MAGIC 0x4e1d4e1du

struct held {
	MAGIC_MEMBER
	struct conn_env *env;
	struct event *poll;
	uint64_t until_ms;		/* nobody is held any longer than that */
	unsigned takers;		/* nodes that took clients when they were looked at last */
	uint64_t refused_ms[REFUSALS];	/* the last of those that share the place */
};

static unsigned
count_takers(struct nodes *nodes)
{
	struct node *all[POL_NODES_MAX];
	size_t n = nodes_all(nodes, all, POL_NODES_MAX);
	unsigned takers = 0;

	for (size_t i = 0; i < n; i++) {
		takers += node_takes_new(all[i]);
		node_unref(&all[i]);
	}
	return takers;
}

static void
poll_again(struct held *h)
{
	const struct timeval tv = { 0, POLL_MS * 1000 };

	/* Without it they are placed at the end of their moment. */
	(void)event_add(h->poll, &tv);
}

/* The moments of those are over that a node takes again. */
static void
held_release(struct conn_env *env, uint64_t now)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&env->conns); c != NULL; c = next) {
		next = conn_next(c);
		if (c->stage == CONN_HELD &&
		    nodes_take_new(env->route.nodes, route_cluster(&c->route))) {
			c->until_ms = now;
			conn_arm(c);
		}
	}
}

static void
held_poll_cb(evutil_socket_t fd, short what, void *arg)
{
	struct held *h = arg;
	uint64_t now = clock_ms();
	unsigned before = h->takers;

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HELD_MAGIC);
	h->takers = count_takers(h->env->route.nodes);
	if (h->takers > before)
		held_release(h->env, now);
	if (now < h->until_ms)
		poll_again(h);
}

struct held *
held_new(struct conn_env *env)
{
	struct held *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	MAGIC_SET(h, HELD_MAGIC);
	h->env = env;
	h->poll = evtimer_new(env->base, held_poll_cb, h);
	if (h->poll == NULL)
		held_free(&h);
	return h;
}

void
held_free(struct held **hp)
{
	struct held *h = *hp;

	if (h == NULL)
		return;
	if (h->poll != NULL)
		event_free(h->poll);
	MAGIC_CLEAR(h);
	free(h);
	*hp = NULL;
}

/* Does it end because no node takes it now? */
static bool
for_want_of_a_node(enum close_reason why)
{
	return why == CLOSE_NO_NODE || why == CLOSE_NO_SUCH_NODE || why == CLOSE_NODE_CONNECT ||
	    why == CLOSE_CLAIM_ELSEWHERE;
}

static bool
refuses_at_once(struct held *h, const struct conn *c, uint64_t now)
{
	const struct channel_ends *self = &c->mediate.self;
	uint64_t hash, *last;
	struct node *n;
	bool hung;

	if (!c->listener->intercept)
		return false;
	n = dialled_node(c);
	hung = n != NULL && n->health == NODE_HUNG;
	node_unref(&n);
	if (hung)
		return false;
	hash = keyhash(h->env->mediate.hash, self->client.addr.b, sizeof(self->client.addr.b),
	    self->local.addr.b, sizeof(self->local.addr.b));
	last = &h->refused_ms[hash % REFUSALS];
	if (*last != 0 && now < *last + HELD_MS)
		return false;
	*last = now;
	return true;
}

void
held_or_end(struct conn *c, enum close_reason why)
{
	struct conn_env *env = c->env;
	struct held *h = env->held;
	const uint64_t now = clock_ms();

	if (!for_want_of_a_node(why)) {
		conn_end(c, why);
		return;
	}
	if (c->was_held || env->policy->no_node == POL_NO_NODE_RESET ||
	    refuses_at_once(h, c, now)) {
		/* Who dialled the node itself is refused as it would refuse them. */
		if (c->was_held && !c->listener->intercept)
			conn_end(c, why);
		else
			conn_kill(c, why);
		return;
	}
	c->was_held = true;
	route_fini(&c->route, false);
	stats_add(env->stats, STAT_no_node_held, 1);
	h->until_ms = now + HELD_MS;
	conn_enter(c, CONN_HELD, now + patience_of(HELD_MS, env->patience));
	conn_arm(c);
	if (!evtimer_pending(h->poll, NULL)) {
		h->takers = count_takers(env->route.nodes);
		poll_again(h);
	}
}
