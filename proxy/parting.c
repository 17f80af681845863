/* parting.c: clients that are to go, asked of one worker: are they quiet, and their ends */
#include "config.h"

#include "proxy/parting.h"

#include "base/clock.h"
#include "proxy/awake.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/lost.h"
#include "proxy/turn.h"

static bool
is_of(const struct conn *c, const struct client_ref *r)
{
	/* One that is not placed yet has a key of zeros. */
	return r->conn_id != 0 ? c->mediate.self.conn_id == r->conn_id
	                       : r->key.b[0] == STATE_KEY_GUID && conn_is_of(c, &r->key);
}

/* Which of them the connection is of; p->n: of none. */
static size_t
whose(const struct conn *c, const struct parting *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (is_of(c, &p->who[i]))
			break;
	return i;
}

static void
park(struct conn *c, uint8_t seconds)
{
	c->parked_s = seconds;
	awake_stir(c);
	turn_update(c);
}

/* Who has a connection that is not quiet. parked: where it is read. */
static uint32_t
busy_here(const struct conn_env *env, const struct parting *p, uint32_t quiet_s, bool parked)
{
	const struct conn *c;
	uint32_t busy = 0;
	size_t i;

	TAILQ_FOREACH(c, &env->conns, entry)
		if ((i = whose(c, p)) < p->n && !conn_over(c) && !(parked && c->parked_s > 0) &&
		    !conn_quiet(c, quiet_s))
			busy |= 1u << i;
	return busy;
}

uint32_t
parting_park(struct conn_env *env, const struct parting *p, uint32_t quiet_s)
{
	const uint32_t busy = busy_here(env, p, quiet_s, false);
	struct conn *c;
	size_t i;

	TAILQ_FOREACH(c, &env->conns, entry)
		if ((i = whose(c, p)) < p->n && !conn_over(c) && (busy >> i & 1) == 0)
			park(c, PARTING_PARK_S);
	return busy;
}

void
parting_resume(struct conn_env *env, const struct parting *p)
{
	struct conn *c;

	TAILQ_FOREACH(c, &env->conns, entry)
		if (whose(c, p) < p->n)
			park(c, 0);
}

void
parting_go(struct conn_env *env, const struct parting *p, uint32_t quiet_s)
{
	/* What is parked has not been read since, so it is as it was. */
	const uint32_t busy = busy_here(env, p, quiet_s, true);
	struct conn *c, *next;
	size_t i;

	for (c = TAILQ_FIRST(&env->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if ((i = whose(c, p)) == p->n)
			continue;
		if ((busy >> i & 1) != 0)
			park(c, 0);
		else
			conn_end(c, CLOSE_OPERATOR);
	}
}

size_t
parting_end(struct conn_env *env, const struct parting *p)
{
	struct conn *c, *next;
	size_t n = 0;

	for (c = TAILQ_FIRST(&env->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (whose(c, p) == p->n || (p->until_ms != 0 && c->accepted_ms > p->until_ms))
			continue;
		n++;
		conn_end(c, CLOSE_OPERATOR);
	}
	return n;
}

void
parting_end_soon(struct conn_env *env, const struct parting *p)
{
	const uint64_t until_ms = p->until_ms != 0 ? p->until_ms : clock_ms();

	for (size_t i = 0; i < p->n; i++) {
		const struct client_ref *r = &p->who[i];
		const struct parting one = { .n = 1, .who[0] = *r, .until_ms = until_ms };

		if (lost_add(env->lost, &r->key, r->conn_id, until_ms, CLOSE_OPERATOR) == -1)
			(void)parting_end(env, &one);
	}
}

void
parting_tick(struct conn *c)
{
	if (c->parked_s > 0)
		park(c, c->parked_s - 1);
}
