/* daemon-mover.c: a client is moved when no connection of it is left, whatever it does meanwhile */
#include "config.h"

#include "base/clock.h"
#include "daemon/letgo.h"
#include "daemon/mover.h"
#include "nodes/node.h"
#include "proxy/parting.h"
#include "state/local.h"
#include "state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#define LINGER 60000
#define CLIENTS 3

/* Connections of the client: how many of the next orders find one, that comes before the claim. */
static struct fixture {
	struct event_base *base;
	struct local_map *map;
	struct state *state, *conns;
	struct nodes *nodes;
	struct node n[3];
	struct mover *m;
	struct client_ref who[CLIENTS];
	struct state_hold *live[CLIENTS];
	unsigned back, orders;
	bool lost;			/* nobody hears of an order's end */
} f;

static void
claimed_cb(void *arg, const struct state_claim *c)
{
	assert_non_null(c);
	snprintf(arg, STATE_NODE_LEN, "%s", c->node);
}

/* The client comes: to the node that the map says, or to n1. */
static const char *
come(unsigned i)
{
	static char node[STATE_NODE_LEN];

	state_claim(f.conns, &f.who[i].key, f.n[0].id, f.n[0].id, claimed_cb, node, &f.live[i]);
	state_firm(f.conns, f.live[i], LINGER);
	return node;
}

static void
go(unsigned i)
{
	state_release(f.conns, &f.live[i], LINGER);
}

/* In the place of daemon/letgo.c. */
void
letgo_end(struct letgo *l, const struct parting *p, letgo_f done, void *arg)
{
	(void)l;
	assert_int_equal(p->n, 1);
	f.orders++;
	for (unsigned i = 0; i < CLIENTS; i++)
		if (memcmp(&f.who[i].key, &p->who[0].key, sizeof(f.who[i].key)) == 0) {
			go(i);
			if (f.back > 0) {
				f.back--;
				come(i);
			}
		}
	if (!f.lost)
		done(arg, 1);
}

static void
node_named(struct node *n, const char *name)
{
	memset(n, 0, sizeof(*n));
	n->refs = 1;
	snprintf(n->name, sizeof(n->name), "%s", name);
	snprintf(n->id, sizeof(n->id), "%s=10.0.0.1:445", name);
}

static int
setup(void **state)
{
	struct mover_env env;

	(void)state;
	memset(&f, 0, sizeof(f));
	f.base = event_base_new();
	f.map = local_map_new(2000, clock_ms);
	f.state = local_state_new(f.map);
	f.conns = local_state_new(f.map);
	f.nodes = nodes_new();
	for (unsigned i = 0; i < 3; i++)
		node_named(&f.n[i], i == 0 ? "n1" : i == 1 ? "n2" : "n3");
	for (unsigned i = 0; i < CLIENTS; i++) {
		f.who[i].key.b[0] = STATE_KEY_GUID;
		f.who[i].key.b[1] = (uint8_t)i;
		assert_string_equal(come(i), f.n[0].id);
	}
	env = (struct mover_env){ .base = f.base, .state = f.state, .nodes = f.nodes };
	f.m = mover_new(&env);
	assert_non_null(f.m);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	mover_free(&f.m);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(f.n[i].refs, 1);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (f.live[i] != NULL)
			go(i);
	state_free(&f.state);
	state_free(&f.conns);
	local_map_free(&f.map);
	nodes_free(&f.nodes);
	event_base_free(f.base);
	return 0;
}

/* How it ends. */
static bool
ends_well(uint64_t number)
{
	bool over = false, moved = false;

	assert_non_null(mover_how(f.m, number, &over, &moved));
	while (!over) {
		event_base_loop(f.base, EVLOOP_ONCE);
		assert_non_null(mover_how(f.m, number, &over, &moved));
	}
	return moved;
}

static void
moves(void **state)
{
	uint64_t a = mover_start(f.m, &f.who[0], &f.n[1], LINGER), b;
	bool over, moved;

	(void)state;
	assert_true(a != 0);
	assert_null(mover_how(f.m, 0, &over, &moved));
	assert_null(mover_how(f.m, a + 1, &over, &moved));
	assert_true(ends_well(a));
	assert_string_equal(come(0), f.n[1].id);
	b = mover_start(f.m, &f.who[0], &f.n[2], LINGER);
	assert_true(b != a && ends_well(b));
	assert_string_equal(come(0), f.n[2].id);
	assert_true(ends_well(a));
	/* Nobody else has gone anywhere. */
	go(1);
	assert_string_equal(come(1), f.n[0].id);
}

/* It comes back before its claim is moved: it ends once more, and is on one node all the time. */
static void
comes_back(void **state)
{
	uint64_t number;

	(void)state;
	f.back = 3;
	number = mover_start(f.m, &f.who[0], &f.n[1], LINGER);
	assert_true(ends_well(number));
	assert_int_equal(f.orders, 4);
	assert_null(f.live[0]);
	assert_string_equal(come(0), f.n[1].id);
}

/* The answer to an order does not come. */
static void
order_is_lost(void **state)
{
	(void)state;
	f.lost = true;
	assert_true(ends_well(mover_start(f.m, &f.who[0], &f.n[1], LINGER)));
}

/* Several, and two of one client: the last word counts. */
static void
overlap(void **state)
{
	uint64_t all[CLIENTS + 1];

	(void)state;
	for (unsigned i = 0; i < CLIENTS; i++)
		all[i] = mover_start(f.m, &f.who[i], &f.n[1], LINGER);
	all[CLIENTS] = mover_start(f.m, &f.who[0], &f.n[2], LINGER);
	for (unsigned i = 0; i <= CLIENTS; i++)
		assert_true(ends_well(all[i]));
	assert_string_equal(come(0), f.n[2].id);
	assert_string_equal(come(1), f.n[1].id);
}

/* More than can be: they are refused, and smbgate ends in the middle of all others. */
static void
too_many(void **state)
{
	struct client_ref who = { .key.b = { STATE_KEY_GUID, 0xff } };
	unsigned n = 0;

	(void)state;
	f.lost = true;
	while (n < 5000 && mover_start(f.m, &who, &f.n[1], LINGER) != 0)
		n++;
	assert_int_equal(n, 1024);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(moves),
		TEST(comes_back),
		TEST(order_is_lost),
		TEST(overlap),
		TEST(too_many),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
