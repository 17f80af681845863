/* awake.c: the connections that a worker looks at each second: those that time alone can change */
#include "config.h"

#include "proxy/awake.h"

#include "inspect/session.h"
#include "nodes/node.h"
#include "policy/policy.h"

void
awake_add(struct conn *c)
{
	if (c->stage == CONN_DEAD)
		return;
	c->awake = true;
	c->env->nawake++;
	TAILQ_INSERT_TAIL(&c->env->awake, c, look);
}

static void
fall_asleep(struct conn *c)
{
	c->awake = false;
	c->env->nawake--;
	TAILQ_REMOVE(&c->env->awake, c, look);
}

void
awake_remove(struct conn *c)
{
	if (c->awake)
		fall_asleep(c);
	if (c->env->round == c)
		c->env->round = TAILQ_NEXT(c, entry);
}

static void
wake_all(struct conn_env *env)
{
	struct conn *c;

	TAILQ_FOREACH(c, &env->conns, entry)
		awake_stir(c);
}

/* It is read, nothing is known to be in it, and the kernel has its keepalives and takes bytes. */
static bool
leg_rests(const struct leg *l, const struct pol_tcp *tcp)
{
	return l->edge.fd != -1 && l->reading && !l->ready && !l->recheck && !l->blocked &&
	    (l->care == LEG_AS_POLICY || (l->care == LEG_NEW && tcp->keepalive_idle == 0));
}

/* recv_tick(), conn_tick(), parting_tick() and watch_tick() would find nothing to do. */
static bool
rests(const struct conn *c)
{
	const struct pol_tcp *tcp = &c->env->policy->tcp;
	const struct mediate *m = &c->mediate;

	return c->stage == CONN_RELAY && c->alarm == NULL && c->end_by_s == 0 &&
	    c->parked_s == 0 && !c->has_turn && m->logons.n == 0 &&
	    m->ended == sesstab_ended(m->env->sessions) && c->node->doubt_ms == 0 &&
	    !c->node->leave && leg_rests(&c->side[C2S].leg, tcp) &&
	    leg_rests(&c->side[S2C].leg, tcp);
}

/* A few of all, in turn. */
static void
look_round(struct conn_env *env, void (*look)(struct conn *c, uint64_t now_ms), uint64_t now_ms)
{
	for (size_t n = env->nconns / AWAKE_ROUND_S + 1; n > 0; n--) {
		struct conn *c = env->round != NULL ? env->round : TAILQ_FIRST(&env->conns);

		if (c == NULL)
			return;
		env->round = TAILQ_NEXT(c, entry);
		if (!c->awake)
			look(c, now_ms);
	}
}

void
awake_tick(struct conn_env *env, void (*look)(struct conn *c, uint64_t now_ms), uint64_t now_ms)
{
	const unsigned ended = sesstab_ended(env->mediate.sessions);
	struct conn *c;

	look_round(env, look, now_ms);
	/* Which connections its other channels are, nobody knows. */
	if (env->ended != ended)
		wake_all(env);
	env->ended = ended;
	/* One look may end others, and wake some: these are behind. */
	for (size_t n = env->nawake; n > 0 && (c = TAILQ_FIRST(&env->awake)) != NULL; n--) {
		fall_asleep(c);
		look(c, now_ms);
		if (c->stage != CONN_DEAD && !rests(c))
			awake_stir(c);
	}
}
