/* watch.c: the live connections of a node that does not answer: each ends on its own evidence */
#include "config.h"

#include "proxy/watch.h"

#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/evidence.h"

static uint64_t
passed(uint64_t since_ms, uint64_t now_ms)
{
	return since_ms == 0 || since_ms > now_ms ? 0 : now_ms - since_ms;
}

/* Elsewhere is nowhere for who dialled a node that is on its own. */
static bool
is_alone(const struct conn *c)
{
	return c->listener->intercept && c->node->cluster == 0;
}

/* False when the kernel does not tell. */
static bool
gather(const struct conn *c, uint64_t now_ms, struct evidence *e)
{
	const struct leg *l = &c->side[S2C].leg;
	const struct node *n = c->node;
	uint64_t way_out_ms = is_alone(c) ? 0 : n->way_out_ms;

	*e = (struct evidence){
		.doubt = n->doubt_ms != 0,
		.way_out = way_out_ms != 0,
		.way_out_for_ms = passed(way_out_ms, now_ms),
		.gone = n->gone,
		.hung = n->health == NODE_HUNG,
		.trusted_for_ms = passed(n->trusted_ms, now_ms),
		.care = (enum leg_care)l->care,
		.owed = c->owed_since_ms != 0,
		.owed_for_ms = passed(c->owed_since_ms, now_ms),
		.hang_ms = c->env->policy->health.hang,
	};
	return leg_news_get(l, &e->news);
}

void
watch_tick(struct conn *c, uint64_t now_ms)
{
	struct leg *l = &c->side[S2C].leg;
	struct evidence_verdict v;
	struct evidence e;

	/* One that is still being dialled has its own time-out. */
	if (c->node == NULL || l->edge.fd == -1 || c->stage <= CONN_CONNECT || conn_over(c))
		return;
	if (c->node->leave && !is_alone(c)) {
		conn_end(c, CLOSE_NODE_AGENT);
		return;
	}
	if (c->node->doubt_ms == 0 && l->care <= LEG_AS_POLICY && !l->blocked) {
		leg_keep(l, &c->env->policy->tcp);
		return;
	}
	if (!gather(c, now_ms, &e))
		return;
	v = evidence_judge(&e);
	switch (v.act) {
	case EVIDENCE_CARE:
		leg_care_set(l, v.care, &c->env->policy->tcp);
		break;
	case EVIDENCE_GONE:
		/* Nothing is placed there from now on; the health checks take it from here. */
		atomic_store(&c->node->gone, true);
		conn_end(c, CLOSE_NODE_DOWN);
		break;
	case EVIDENCE_HUNG:
		/* It stays there, for whatever it comes, while one of its connections does. */
		c->env->ops->hung(c->env->worker, &c->route.key);
		conn_end(c, CLOSE_NODE_HUNG);
		break;
	}
}
