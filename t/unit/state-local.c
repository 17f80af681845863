/* state-local.c: claims: made, kept, moved, counted, forgotten; for the backend in memory */
#include "config.h"

#include "state/local.h"
#include "state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LINGER 1000
#define MAX 300

static uint64_t now;

static uint64_t
test_clock(void)
{
	return now;
}

struct told {
	bool called, have;
	struct state_claim claim;
};

static void
told_cb(void *arg, const struct state_claim *c)
{
	struct told *t = arg;

	t->called = true;
	t->have = c != NULL;
	if (c != NULL)
		t->claim = *c;
}

struct fixture {
	struct local_map *map;
	struct state *state;
};

static int
setup(void **state)
{
	static struct fixture f;

	now = 1000000;
	f.map = local_map_new(MAX, test_clock);
	f.state = local_state_new(f.map);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	state_free(&f->state);
	local_map_free(&f->map);
	return 0;
}

static struct state_key
key(unsigned n)
{
	struct state_key k = { .b = { STATE_KEY_GUID } };

	memcpy(k.b + 1, &n, sizeof(n));
	return k;
}

static struct state_hold *
claim(struct fixture *f, unsigned n, const char *node, struct told *t)
{
	struct state_key k = key(n);
	struct state_hold *h = NULL;

	*t = (struct told){ .called = false };
	state_claim(f->state, &k, node, node, told_cb, t, &h);
	assert_non_null(h);
	assert_true(t->called);
	return h;
}

static void
test_first_come(void **state)
{
	struct fixture *f = *state;
	struct told a, b;
	struct state_hold *h1 = claim(f, 1, "n1", &a), *h2;

	state_settle(f->state, h1);
	h2 = claim(f, 1, "n2", &b);
	assert_true(a.claim.fresh);
	assert_string_equal(a.claim.node, "n1");
	assert_int_equal(a.claim.others, 0);
	/* The second asker wanted n2 and is told n1. */
	assert_false(b.claim.fresh);
	assert_false(b.claim.firm);
	assert_string_equal(b.claim.node, "n1");
	assert_int_equal(b.claim.others, 1);
	assert_int_equal(state_clients(f->state, "n1"), 1);
	assert_int_equal(state_clients(f->state, "n2"), 0);
	state_release(f->state, &h1, LINGER);
	state_release(f->state, &h2, LINGER);
	assert_null(h1);
}

/* Who has asked may yet find that the node takes nobody: no other is to go there for that. */
static void
test_undecided(void **state)
{
	struct fixture *f = *state;
	struct told a, b, c;
	struct state_hold *h1 = claim(f, 1, "n1", &a), *h2 = claim(f, 1, "n1", &b), *h3;

	assert_int_equal(b.claim.others, 0);
	/* Nor does it leave while another may go there. */
	state_move(f->state, h2, "n1", "n2", told_cb, &b);
	assert_string_equal(b.claim.node, "n1");
	state_settle(f->state, h2);
	state_settle(f->state, h2);
	h3 = claim(f, 1, "n1", &c);
	assert_int_equal(c.claim.others, 1);
	state_release(f->state, &h2, LINGER);
	state_release(f->state, &h3, LINGER);
	h3 = claim(f, 1, "n1", &c);
	assert_int_equal(c.claim.others, 0);
	state_release(f->state, &h3, LINGER);
	state_release(f->state, &h1, LINGER);
}

static void
test_linger(void **state)
{
	struct fixture *f = *state;
	struct told t;
	struct state_hold *h = claim(f, 1, "n1", &t);

	state_firm(f->state, h, 0);
	state_release(f->state, &h, LINGER);
	now += LINGER - 1;
	h = claim(f, 1, "n2", &t);
	assert_string_equal(t.claim.node, "n1");
	assert_true(t.claim.firm);
	assert_int_equal(t.claim.others, 0);
	/* A NEGOTIATE without a logon extends nothing: the time is over as if it had not been. */
	state_release(f->state, &h, LINGER);
	now += 1;
	h = claim(f, 1, "n2", &t);
	assert_true(t.claim.fresh);
	assert_string_equal(t.claim.node, "n2");
	/* A logon starts it anew. */
	state_firm(f->state, h, 0);
	now += 10 * LINGER;
	state_release(f->state, &h, LINGER);
	now += LINGER - 1;
	h = claim(f, 1, "n1", &t);
	assert_string_equal(t.claim.node, "n2");
	state_release(f->state, &h, LINGER);
}

static void
test_provisional(void **state)
{
	struct fixture *f = *state;
	struct told t;
	struct state_hold *h = claim(f, 1, "n1", &t), *h2 = claim(f, 1, "n2", &t);

	/* Without a logon it ends with its last connection. */
	assert_string_equal(t.claim.node, "n1");
	state_release(f->state, &h, LINGER);
	h = claim(f, 1, "n2", &t);
	assert_string_equal(t.claim.node, "n1");
	assert_false(t.claim.firm);
	state_release(f->state, &h2, LINGER);
	state_release(f->state, &h, LINGER);
	assert_int_equal(state_clients(f->state, "n1"), 0);
	h = claim(f, 1, "n2", &t);
	assert_true(t.claim.fresh);
	assert_string_equal(t.claim.node, "n2");
	state_release(f->state, &h, LINGER);
}

static void
test_move(void **state)
{
	struct fixture *f = *state;
	struct told t, m;
	struct state_hold *h = claim(f, 1, "n1", &t), *h2;

	/* Nobody else: it goes, and the load goes with it. */
	state_move(f->state, h, "n1", "n2", told_cb, &m);
	assert_string_equal(m.claim.node, "n2");
	assert_int_equal(state_clients(f->state, "n1"), 0);
	assert_int_equal(state_clients(f->state, "n2"), 1);
	/* It is not where the asker believed it to be. */
	state_move(f->state, h, "n1", "n3", told_cb, &m);
	assert_string_equal(m.claim.node, "n2");
	/* Another connection lives on it: it stays. */
	h2 = claim(f, 1, "n2", &t);
	state_move(f->state, h, "n2", "n3", told_cb, &m);
	assert_string_equal(m.claim.node, "n2");
	assert_int_equal(m.claim.others, 1);
	state_release(f->state, &h2, LINGER);
	state_release(f->state, &h, LINGER);
}

static void
test_move_forgets_firm(void **state)
{
	struct fixture *f = *state;
	struct told t, m;
	struct state_hold *h = claim(f, 1, "n1", &t);

	state_firm(f->state, h, 0);
	state_release(f->state, &h, LINGER);
	h = claim(f, 1, "n1", &t);
	state_move(f->state, h, "n1", "n2", told_cb, &m);
	/* Handles waited on n1; nobody has logged on to n2 yet. */
	assert_false(m.claim.firm);
	state_release(f->state, &h, LINGER);
}

static void
test_full(void **state)
{
	struct fixture *f = *state;
	struct state_hold *h[MAX + 1];
	struct told t;

	for (unsigned i = 0; i < MAX; i++) {
		h[i] = claim(f, i, "n1", &t);
		assert_true(t.have);
	}
	h[MAX] = claim(f, MAX, "n1", &t);
	assert_false(t.have);
	state_firm(f->state, h[MAX], 0);
	state_move(f->state, h[MAX], "n1", "n2", told_cb, &t);
	assert_false(t.have);
	assert_int_equal(state_clients(f->state, "n1"), MAX);
	for (unsigned i = 0; i <= MAX; i++) {
		state_firm(f->state, h[i], 0);
		state_release(f->state, &h[i], LINGER);
	}
	h[0] = claim(f, MAX + 1, "n1", &t);
	assert_false(t.have);
	state_release(f->state, &h[0], LINGER);
	/* Room comes back as the old ones end, without anybody asking for those. */
	now += LINGER;
	for (unsigned i = 1000; i < 1050; i++) {
		h[0] = claim(f, i, "n1", &t);
		state_release(f->state, &h[0], LINGER);
	}
	assert_true(t.have);
	assert_int_equal(state_clients(f->state, "n1"), 0);
}

static void
count_cb(void *arg, const struct state_key *k, const struct state_claim *c, uint64_t left)
{
	unsigned *n = arg;

	n[k->b[1]] = c->others * 1000 + (unsigned)left;
}

/* Claims that have ended count nowhere, though nobody asks for them and no timer runs. */
static void
test_ended(void **state)
{
	struct fixture *f = *state;
	struct told t;

	for (unsigned i = 0; i < 60; i++) {
		struct state_hold *h = claim(f, i, "n1", &t);

		state_firm(f->state, h, LINGER);
		/* In no order: each ends at another time. */
		state_release(f->state, &h, 100 + i * 37 % 60);
	}
	for (unsigned i = 0; i <= 60; i++) {
		now = 1000000 + 99 + i;
		assert_int_equal(state_clients(f->state, "n1"), 60 - i);
	}
	/* One that came back in time does not end. */
	for (unsigned i = 0; i < 60; i++) {
		struct state_hold *h = claim(f, i, "n1", &t);

		state_firm(f->state, h, LINGER);
		state_release(f->state, &h, 100 + i);
	}
	now += 50;
	struct state_hold *h = claim(f, 7, "n2", &t);

	assert_false(t.claim.fresh);
	now += 10000;
	assert_int_equal(state_clients(f->state, "n1"), 1);
	assert_int_equal(state_clients(f->state, "n2"), 0);
	/* What an earlier connection needs stands, also when a later one needs less. */
	struct state_hold *h2 = claim(f, 7, "n2", &t);

	state_firm(f->state, h2, LINGER);
	state_release(f->state, &h2, 500);
	state_firm(f->state, h, LINGER);
	state_release(f->state, &h, 10);
	now += 499;
	assert_int_equal(state_clients(f->state, "n1"), 1);
	now++;
	assert_int_equal(state_clients(f->state, "n1"), 0);
}

static void
test_each(void **state)
{
	struct fixture *f = *state;
	struct told t;
	struct state_hold *a = claim(f, 1, "n1", &t), *b = claim(f, 1, "n1", &t),
			  *c = claim(f, 2, "n2", &t);
	unsigned n[256] = { 0 };

	state_firm(f->state, c, 0);
	state_release(f->state, &c, 500);
	state_each(f->state, count_cb, n);
	assert_int_equal(n[1], 2000);
	assert_int_equal(n[2], 500);
	state_release(f->state, &a, LINGER);
	state_release(f->state, &b, LINGER);
}

struct going {
	struct fixture *f;
	struct state_hold **held;
	unsigned seen[MAX], n;
};

/* Whoever is told of a claim may let go of others, and of this one. */
static void
let_go_cb(void *arg, const struct state_key *key, const struct state_claim *claim,
    uint64_t left_ms)
{
	struct going *g = arg;
	unsigned i = key->b[1] + 256u * key->b[2];

	(void)claim;
	(void)left_ms;
	assert_true(i < MAX);
	g->seen[i]++;
	g->n++;
	for (unsigned k = i; k < MAX; k += 7)
		if (g->held[k] != NULL && k % 3 == 0)
			state_release(g->f->state, &g->held[k], 0);
}

static void
test_each_while_they_go(void **state)
{
	struct fixture *f = *state;
	struct state_hold *held[MAX];
	struct going g = { .f = f, .held = held };
	struct told t;

	for (unsigned i = 0; i < MAX; i++)
		held[i] = claim(f, i, "n1", &t);
	state_each(f->state, let_go_cb, &g);
	/* None twice; whoever has stayed, once. */
	for (unsigned i = 0; i < MAX; i++)
		assert_true(g.seen[i] == 1 || (g.seen[i] == 0 && held[i] == NULL));
	assert_true(g.n < MAX);
	for (unsigned i = 0; i < MAX; i++)
		if (held[i] != NULL)
			state_release(f->state, &held[i], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_come, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undecided, setup, teardown),
		cmocka_unit_test_setup_teardown(test_linger, setup, teardown),
		cmocka_unit_test_setup_teardown(test_provisional, setup, teardown),
		cmocka_unit_test_setup_teardown(test_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_move_forgets_firm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_while_they_go, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
