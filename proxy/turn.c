/* turn.c: which legs of a connection are read, and whose turn it is to read */
#include "config.h"

#include "proxy/turn.h"

#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/limits.h"
#include "proxy/send.h"
#include "proxy/strangers.h"

void
turn_ask(struct conn *c)
{
	static const struct timeval now = { 0, 0 };
	struct conn_env *env = c->env;

	if (c->has_turn)
		return;
	c->has_turn = true;
	if (env->nturns++ == 0)
		event_add(env->turn, &now);
	TAILQ_INSERT_TAIL(&env->turns, c, turn);
}

void
turn_take(struct conn *c)
{
	if (!c->has_turn)
		return;
	c->has_turn = false;
	c->env->nturns--;
	TAILQ_REMOVE(&c->env->turns, c, turn);
}

static void
turn_want(struct side *s, bool on)
{
	struct leg *l = &s->leg;

	if (l->edge.fd == -1 || l->reading == on)
		return;
	l->reading = on;
	if (on && l->ready)
		turn_ask(s->conn);
}

void
turn_update(struct conn *c)
{
	struct side *c2s = &c->side[C2S], *s2c = &c->side[S2C];

	if (c->stage == CONN_DEAD)
		return;
	/* A side is read while its last bytes have been taken and no frame of it waits. */
	turn_want(c2s, stages[c->stage].client && c->parked_s == 0 && !c2s->eof &&
	    !c2s->pump.waiting && send_owed(c2s) == 0);
	turn_want(s2c, stages[c->stage].node && !s2c->eof && !s2c->pump.waiting &&
	    send_owed(s2c) == 0);
	if (c->standing == STANDING_STRANGER || c->standing == STANDING_GUEST)
		strangers_note(c);
}
