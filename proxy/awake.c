/* awake.c: the connections that a worker looks at each second: those that time alone can change */
#include "config.h"

#include "proxy/awake.h"

#include "inspect/session.h"
#include "inspect/session_over.h"
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
	if (c->env->asked == c)
		c->env->asked = TAILQ_NEXT(c, entry);
}

/* Which connections its other channels are, nobody knows: whoever has one that is over is woken. */
static void
wake_stale(struct conn_env *env)
{
	for (size_t n = AWAKE_ASK_STEP; n > 0 && env->asked != NULL; n--) {
		struct conn *c = env->asked;

		env->asked = TAILQ_NEXT(c, entry);
		if (!c->awake && session_stale(&c->mediate)) {
			awake_stir(c);
			env->to_look++;
		}
	}
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
	for (size_t n = env->step; n > 0 && env->in_turn > 0; n--, env->in_turn--) {
		struct conn *c = env->round != NULL ? env->round : TAILQ_FIRST(&env->conns);

		if (c == NULL) {
			env->in_turn = 0;
			return;
		}
		env->round = TAILQ_NEXT(c, entry);
		if (!c->awake)
			look(c, now_ms);
	}
}

/* How this tick's are spread. */
static void
tick_spread(struct conn_env *env)
{
	size_t n = env->to_look > env->in_turn ? env->to_look : env->in_turn, steps;

	if (env->asked != NULL && env->nconns / (AWAKE_ASK_STEP / AWAKE_STEP) > n)
		n = env->nconns / (AWAKE_ASK_STEP / AWAKE_STEP);
	env->step = n / AWAKE_STEPS + 1 > AWAKE_STEP ? n / AWAKE_STEPS + 1 : AWAKE_STEP;
	steps = n / env->step + 1;
	env->pause_ms = AWAKE_SPREAD_MS / steps < AWAKE_PAUSE_MS
	    ? (unsigned)(AWAKE_SPREAD_MS / steps) : AWAKE_PAUSE_MS;
}

void
awake_tick(struct conn_env *env)
{
	const unsigned ended = sesstab_ended(env->mediate.sessions);

	env->in_turn = env->nconns / AWAKE_ROUND_S + 1;
	env->to_look = env->nawake;
	if (env->asked == NULL && env->ended != ended) {
		env->asked = TAILQ_FIRST(&env->conns);
		env->ended = ended;
	}
	tick_spread(env);
}

bool
awake_step(struct conn_env *env, void (*look)(struct conn *c, uint64_t now_ms), uint64_t now_ms)
{
	struct conn *c;

	wake_stale(env);
	look_round(env, look, now_ms);
	/* One look may end others, and wake some: these are behind. */
	for (size_t n = env->step; n > 0 && env->to_look > 0; n--, env->to_look--) {
		c = TAILQ_FIRST(&env->awake);
		if (c == NULL) {
			env->to_look = 0;
			break;
		}
		fall_asleep(c);
		look(c, now_ms);
		if (c->stage != CONN_DEAD && !rests(c))
			awake_stir(c);
	}
	return env->asked != NULL || env->in_turn > 0 || env->to_look > 0;
}
