/* proxy-parting.c: which of a worker's clients are quiet, stay as they are, and end */
#include "config.h"

#include "proxy/awake.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/lost.h"
#include "proxy/parting.h"
#include "proxy/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * In the place of conn.c, lost.c, turn.c and awake.c: how long one has been quiet is in its
 * end_by_s.
 */
#define CONNS 6

static struct conn_env env;
static struct conn *conns[CONNS];

bool
conn_is_of(const struct conn *c, const struct state_key *key)
{
	return memcmp(c->route.key.b, key->b, sizeof(key->b)) == 0;
}

bool
conn_quiet(const struct conn *c, uint32_t quiet_s)
{
	return c->end_by_s >= quiet_s;
}

void
conn_end(struct conn *c, enum close_reason why)
{
	assert_int_equal(why, CLOSE_OPERATOR);
	c->stage = CONN_DEAD;
	TAILQ_REMOVE(&env.conns, c, entry);
}

void
turn_update(struct conn *c)
{
	(void)c;
}

void
awake_add(struct conn *c)
{
	c->awake = true;
}

static struct parting soon;
static bool no_memory;

int
lost_add(struct lost *l, const struct state_key *client, uint64_t conn_id, uint64_t until_ms,
    enum close_reason why)
{
	(void)l;
	assert_int_equal(why, CLOSE_OPERATOR);
	assert_int_not_equal(until_ms, 0);
	if (no_memory)
		return -1;
	soon.who[soon.n].key = *client;
	soon.who[soon.n++].conn_id = conn_id;
	return 0;
}

/* Which of them are live, and which are parked: a digit for each. */
static void
are(const char *live, const char *parked)
{
	for (size_t i = 0; i < CONNS; i++) {
		assert_int_equal(conns[i]->stage != CONN_DEAD, live[i] == '1');
		if (live[i] == '1')
			assert_int_equal(conns[i]->parked_s > 0, parked[i] == '1');
		/* Its time to be parked passes with the worker's ticks. */
		if (live[i] == '1' && conns[i]->parked_s > 0)
			assert_true(conns[i]->awake);
	}
}

static void
quiet_for(const char *seconds)
{
	for (size_t i = 0; i < CONNS; i++)
		conns[i]->end_by_s = (uint32_t)(seconds[i] - '0');
}

/* 0 and 1 are of one client, 2 of another, 3 has no ClientGuid; 4 no key yet; 5 is nobody's. */
static struct parting
three(void)
{
	struct parting p = { .n = 3 };

	p.who[0].key = conns[0]->route.key;
	p.who[1].key = conns[2]->route.key;
	p.who[2].conn_id = 3 + 100;
	return p;
}

static int
setup(void **state)
{
	static const uint8_t client[CONNS] = { 1, 1, 2, 0, 0, 3 };

	(void)state;
	TAILQ_INIT(&env.conns);
	for (size_t i = 0; i < CONNS; i++) {
		struct conn *c = conns[i] = calloc(1, sizeof(*c));

		c->stage = CONN_RELAY;
		c->mediate.self.conn_id = i + 100;
		c->route.key.b[0] = client[i] == 0 ? 0 : STATE_KEY_GUID;
		c->route.key.b[1] = client[i];
		TAILQ_INSERT_TAIL(&env.conns, c, entry);
	}
	quiet_for("999999");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < CONNS; i++)
		free(conns[i]);
	return 0;
}

static void
parks(void **state)
{
	struct parting p = three();

	(void)state;
	quiet_for("959909");
	assert_int_equal(parting_park(&env, &p, 6), 1);
	are("111111", "001100");
	for (int i = 0; i < PARTING_PARK_S; i++)
		for (size_t k = 0; k < CONNS; k++)
			parting_tick(conns[k]);
	are("111111", "000000");
	quiet_for("999909");
	assert_int_equal(parting_park(&env, &p, 6), 0);
	are("111111", "111100");
	parting_resume(&env, &p);
	are("111111", "000000");
}

static void
goes(void **state)
{
	struct parting p = three();

	(void)state;
	assert_int_equal(parting_park(&env, &p, 6), 0);
	/* Who is not read cannot have done anything: what is said of it since does not count. */
	quiet_for("000000");
	parting_go(&env, &p, 6);
	are("000011", "....00");
}

/* One of two connections goes on: it has come since, or the word has come late. */
static void
stays(void **state)
{
	struct parting p = three();

	(void)state;
	assert_int_equal(parting_park(&env, &p, 6), 0);
	conns[1]->parked_s = conns[2]->parked_s = 0;
	quiet_for("959999");
	parting_go(&env, &p, 6);
	are("110011", "00..00");
	/* Quiet again, parked or not. */
	quiet_for("999999");
	parting_go(&env, &p, 6);
	are("000011", "....00");
}

/* An operator's word counts as it is. Who has no key yet is nobody's, whatever others say. */
static void
ends(void **state)
{
	struct parting p = three();

	(void)state;
	memset(&p.who[1].key, 0, sizeof(p.who[1].key));
	quiet_for("000000");
	assert_int_equal(parting_end(&env, &p), 3);
	are("001011", "..0.00");
	p = (struct parting){ .n = 0 };
	assert_int_equal(parting_end(&env, &p), 0);
	assert_int_equal(parting_park(&env, &p, 0), 0);
	are("001011", "..0.00");
}

/* The same on one walk with others; without memory, on one of its own. */
static void
ends_soon(void **state)
{
	struct parting p = three();

	(void)state;
	soon.n = 0;
	parting_end_soon(&env, &p);
	assert_memory_equal(&soon, &p, sizeof(p));
	are("111111", "000000");
	no_memory = true;
	parting_end_soon(&env, &p);
	no_memory = false;
	are("000011", "....00");
}

/* Who has come since stays. */
static void
ends_until(void **state)
{
	struct parting p = three();

	(void)state;
	for (size_t i = 0; i < CONNS; i++)
		conns[i]->accepted_ms = 1000 + i;
	p.until_ms = 1001;
	assert_int_equal(parting_end(&env, &p), 2);
	are("001111", "..0000");
	p.until_ms = 1003;
	no_memory = true;
	parting_end_soon(&env, &p);
	no_memory = false;
	are("000011", "....00");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(parks),
		TEST(goes),
		TEST(stays),
		TEST(ends),
		TEST(ends_soon),
		TEST(ends_until),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
