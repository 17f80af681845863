/* proxy-awake.c: who is looked at each second: all that time can change, and none of the others */
#include "config.h"

#include "inspect/session.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/awake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CROWD 1000

/* A worker's connections, without sockets: what the tick looks at is what they are. */
struct world {
	struct conn_env *env;
	struct policy policy;
	struct node node;
	struct conn *conns[CROWD];
	unsigned looks[CROWD];
	unsigned steps;		/* of the last tick */
	struct conn *kills;	/* a look at this one ends ... */
	struct conn *victim;	/* ... that one */
};

/* look() has no argument of its own. */
static struct world *w;

static size_t
number(const struct conn *c)
{
	return (size_t)c->mediate.self.conn_id;
}

static void
die(struct conn *c)
{
	awake_remove(c);
	TAILQ_REMOVE(&w->env->conns, c, entry);
	w->env->nconns--;
	c->stage = CONN_DEAD;
}

static void
look(struct conn *c, uint64_t now_ms)
{
	assert_int_equal(now_ms, 5);
	assert_int_not_equal(c->stage, CONN_DEAD);
	w->looks[number(c)]++;
	if (c == w->kills && w->victim->stage != CONN_DEAD)
		die(w->victim);
}

static void
tick(void)
{
	memset(w->looks, 0, sizeof(w->looks));
	w->steps = 1;
	awake_tick(w->env);
	while (awake_step(w->env, look, 5))
		w->steps++;
}

/* As many ticks as all have to be looked at in. */
static void
round_of_ticks(unsigned looks[CROWD])
{
	memset(looks, 0, CROWD * sizeof(*looks));
	for (int i = 0; i < AWAKE_ROUND_S; i++) {
		tick();
		for (size_t k = 0; k < CROWD; k++)
			looks[k] += w->looks[k];
	}
}

/* A user's, with nothing on its way. */
static struct conn *
idle_conn(size_t n)
{
	struct conn *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->env = w->env;
	c->stage = CONN_RELAY;
	c->node = &w->node;
	c->mediate.env = &w->env->mediate;
	c->mediate.self.conn_id = n;
	c->mediate.ended = sesstab_ended(w->env->mediate.sessions);
	for (int i = 0; i < 2; i++) {
		c->side[i].leg.edge.fd = 1000;
		c->side[i].leg.reading = true;
		c->side[i].leg.care = LEG_AS_POLICY;
	}
	TAILQ_INSERT_TAIL(&w->env->conns, c, entry);
	w->env->nconns++;
	awake_stir(c);
	return c;
}

static int
setup(void **state)
{
	w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->env = calloc(1, sizeof(*w->env));
	assert_non_null(w->env);
	TAILQ_INIT(&w->env->conns);
	TAILQ_INIT(&w->env->awake);
	w->policy.tcp.keepalive_idle = 1000;
	w->env->policy = &w->policy;
	w->env->mediate.sessions = sesstab_new();
	assert_non_null(w->env->mediate.sessions);
	for (size_t i = 0; i < CROWD; i++)
		w->conns[i] = idle_conn(i);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < CROWD; i++)
		free(w->conns[i]);
	sesstab_free(&w->env->mediate.sessions);
	free(w->env);
	free(w);
	return 0;
}

static void
idle_ones_sleep(void **state)
{
	unsigned looks[CROWD];
	size_t n = 0;

	(void)state;
	tick();
	for (size_t i = 0; i < CROWD; i++)
		assert_in_range(w->looks[i], 1, 2);
	assert_int_equal(w->env->nawake, 0);
	/* A few at a time. */
	assert_int_equal(w->steps, (CROWD + AWAKE_STEP - 1) / AWAKE_STEP);
	assert_in_range(w->steps * w->env->pause_ms, 250, 1000);
	tick();
	assert_int_equal(w->steps, 1);
	for (size_t i = 0; i < CROWD; i++)
		n += w->looks[i];
	assert_int_equal(n, CROWD / AWAKE_ROUND_S + 1);
	/* And yet none is forgotten. */
	round_of_ticks(looks);
	for (size_t i = 0; i < CROWD; i++)
		assert_in_range(looks[i], 1, 2);
}

/* However many they are: within the second, and not all in one moment. */
static void
crowds_are_spread(void **state)
{
	(void)state;
	tick();
	for (size_t n = 1000; n <= 200000; n = n * 3 / 2) {
		w->env->nawake = n;
		awake_tick(w->env);
		w->env->nawake = 0;
		assert_in_range((n / w->env->step + 1) * w->env->pause_ms, 250, 1000);
	}
}

static void
spoil_leg(struct leg *l, int how)
{
	switch (how) {
	case 0:
		l->edge.fd = -1;
		break;
	case 1:
		l->reading = false;
		break;
	case 2:
		l->ready = true;
		break;
	case 3:
		l->recheck = true;
		break;
	case 4:
		l->blocked = true;
		break;
	case 5:
		l->care = LEG_NEW;
		break;
	case 6:
		l->care = LEG_ASKING;
		break;
	default:
		l->care = LEG_PATIENT;
		break;
	}
}

#define LEG_WAYS 8

/* False: there is no such way. */
static bool
spoil(struct conn *c, int how)
{
	static struct alarm alarm = { .ms = 1 };
	static struct node doubted = { .doubt_ms = 1 }, left = { .leave = true };

	switch (how) {
	case 0:
		c->stage = CONN_LOGON;
		break;
	case 1:
		c->stage = CONN_FLUSH;
		break;
	case 2:
		c->alarm = &alarm;
		break;
	case 3:
		c->end_by_s = 1;
		break;
	case 4:
		c->parked_s = 1;
		break;
	case 5:
		c->has_turn = true;
		break;
	case 6:
		c->mediate.logons.n = 1;
		break;
	case 7:
		c->mediate.ended--;
		break;
	case 8:
		c->node = &doubted;
		break;
	case 9:
		c->node = &left;
		break;
	default:
		how -= 10;
		if (how < 2 * LEG_WAYS)
			spoil_leg(&c->side[how % 2].leg, how / 2);
		return how < 2 * LEG_WAYS;
	}
	return true;
}

/* Each of them alone keeps one connection awake, and its neighbours sleep. */
static void
what_keeps_awake(void **state)
{
	struct conn *one = w->conns[500], before;

	(void)state;
	tick();
	before = *one;
	for (int how = 0; spoil(one, how); how++) {
		awake_stir(one);
		for (int k = 0; k < 3; k++) {
			tick();
			assert_in_range(w->looks[500], 1, 2);
			assert_int_equal(w->env->nawake, 1);
		}
		awake_remove(one);
		before.look = one->look;
		*one = before;
		awake_stir(one);
		tick();
		assert_int_equal(w->env->nawake, 0);
	}
}

/* Without keepalives by policy there are none to be waited for. */
static void
no_keepalives(void **state)
{
	(void)state;
	w->policy.tcp.keepalive_idle = 0;
	for (size_t i = 0; i < CROWD; i++)
		w->conns[i]->side[0].leg.care = w->conns[i]->side[1].leg.care = LEG_NEW;
	tick();
	assert_int_equal(w->env->nawake, 0);
}

/* A session with channels on other connections is over: these are woken. */
static void
a_session_ends(void **state)
{
	struct conn *other = w->conns[700];
	struct session_info si = { .session_id = 7, .node = &w->node };
	struct sesstab *t = w->env->mediate.sessions;
	struct channel_ends ends = { .conn_id = 1 };
	struct channel *a, *b;

	(void)state;
	tick();
	a = sesstab_join(t, &si, &ends, false, NULL, NULL);
	assert_non_null(a);
	assert_true(channel_end(t, a));
	channel_leave(t, &a);
	tick();
	assert_int_equal(w->env->nawake, 0);	/* nobody else had it */

	a = sesstab_join(t, &si, &ends, false, NULL, NULL);
	b = sesstab_join(t, &si, &ends, true, NULL, NULL);
	assert_non_null(a);
	assert_non_null(b);
	chantab_add(&other->mediate.track.channels, b);
	assert_true(channel_end(t, a));
	tick();
	assert_int_equal(w->looks[700], 1);
	/* It is for it to say that it has seen it, and nobody else was woken. */
	assert_int_equal(w->env->nawake, 1);
	assert_in_range(w->steps, CROWD / AWAKE_ASK_STEP, CROWD / AWAKE_ASK_STEP + 2);
	assert_ptr_equal(chantab_take(&other->mediate.track.channels, si.session_id), b);
	other->mediate.ended = sesstab_ended(t);
	tick();
	assert_int_equal(w->env->nawake, 0);
	channel_leave(t, &a);
	channel_leave(t, &b);
}

/* They die and wake at random, also while others are looked at: none dead is looked at. */
static void
a_crowd_that_dies(void **state)
{
	unsigned looks[CROWD];
	size_t left = CROWD;

	(void)state;
	srand(1);
	while (left > 2) {
		size_t i = (size_t)rand() % CROWD, k = (size_t)rand() % CROWD;

		w->env->ended--;	/* and all are asked */
		awake_stir(w->conns[(size_t)rand() % CROWD]);
		if (i != k && w->conns[i]->stage != CONN_DEAD) {
			w->kills = w->conns[i];
			w->victim = w->conns[k];
			awake_stir(w->kills);
		}
		tick();
		if (w->victim != NULL && w->victim->stage == CONN_DEAD)
			assert_false(w->victim->awake);
		left = w->env->nconns;
	}
	round_of_ticks(looks);
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(looks[i] > 0, w->conns[i]->stage != CONN_DEAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(idle_ones_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(crowds_are_spread, setup, teardown),
		cmocka_unit_test_setup_teardown(what_keeps_awake, setup, teardown),
		cmocka_unit_test_setup_teardown(no_keepalives, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crowd_that_dies, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
