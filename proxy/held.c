/* held.c: connections that no node takes: each waits a moment, in case one comes back */
#include "config.h"

#include "proxy/held.h"

#include "base/clock.h"
#include "base/magic.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
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
 */
#define HELD_MS 1000
/* While somebody is held, nodes are looked at this often. */
#define POLL_MS 50

#define HELD_MAGIC 0x4e1d4e1du

struct held {
	MAGIC_MEMBER
	struct conn_env *env;
	struct event *poll;
	uint64_t until_ms;		/* nobody is held any longer than that */
	bool none;			/* no node took clients when somebody was held */
};

static bool
a_node_takes_new(struct nodes *nodes)
{
	struct node *all[POL_NODES_MAX];
	size_t n = nodes_all(nodes, all, POL_NODES_MAX);
	bool takes = false;

	for (size_t i = 0; i < n; i++) {
		takes |= node_takes_new(all[i]);
		node_unref(&all[i]);
	}
	return takes;
}

static void
poll_again(struct held *h)
{
	const struct timeval tv = { 0, POLL_MS * 1000 };

	/* Without it they are placed at the end of their moment. */
	(void)event_add(h->poll, &tv);
}

/* Their moments are over. */
static void
held_release(struct conn_env *env, uint64_t now)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&env->conns); c != NULL; c = next) {
		next = conn_next(c);
		if (c->stage == CONN_HELD) {
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

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HELD_MAGIC);
	if (h->none && a_node_takes_new(h->env->route.nodes)) {
		h->none = false;
		held_release(h->env, now);
	}
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
	return why == CLOSE_NO_NODE || why == CLOSE_NODE_CONNECT || why == CLOSE_CLAIM_ELSEWHERE;
}

void
held_or_end(struct conn *c, enum close_reason why)
{
	struct conn_env *env = c->env;
	struct held *h = env->held;

	if (!for_want_of_a_node(why) || c->was_held) {
		conn_end(c, why);
		return;
	}
	if (env->policy->no_node == POL_NO_NODE_RESET) {
		conn_kill(c, why);
		return;
	}
	c->was_held = true;
	route_fini(&c->route);
	stats_add(env->stats, STAT_no_node_held, 1);
	h->until_ms = clock_ms() + HELD_MS;
	h->none |= !a_node_takes_new(env->route.nodes);
	conn_enter(c, CONN_HELD, clock_ms() + patience_of(HELD_MS, env->patience));
	conn_arm(c);
	if (!evtimer_pending(h->poll, NULL))
		poll_again(h);
}
