/* state-shared.c: the claims that a process knows of a shared map: with Redis, and without it */
#include "config.h"

#include "base/clock.h"
#include "state/fault.h"
#include "state/record.h"
#include "state/shared.h"
#include "state/state.h"
#include "t/unit/lib/claims.h"
#include "t/unit/lib/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static void
wait_over(bool owed)
{
	const uint64_t end = clock_ms() + 5000;
	uint64_t next = 0;
	bool was = false;

	do {
		was |= shared_expire(map, &next);
		if (next > clock_ms())
			usleep((useconds_t)(next - clock_ms()) * 1000);
	} while (next != 0 && clock_ms() < end);
	assert_int_equal(was, owed);
}

static void
test_asked_once(void **state)
{
	struct state_hold h[4];
	struct state_claim c;

	(void)state;
	assert_int_equal(join(&h[0], 1, N1, N1, &c), SHARED_LATER);
	/* While it is asked for nobody else asks, and all have one answer. */
	assert_int_equal(join(&h[1], 1, N1, N1, &c), SHARED_LATER);
	answer('c', HOW_JOINED, N2, 500, 2);
	nothing_due();
	told(&h[0], &c);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 2);
	told(&h[1], &c);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 3);
	/* The client is live here: nobody is asked. */
	assert_int_equal(join(&h[2], 1, N1, N1, &c), SHARED_NOW);
	assert_string_equal(c.node, N2);
	assert_int_equal(shared_clients(map, N2), 1);
	assert_int_equal(shared_clients(map, N1), 0);
	leave(&h[0]);
	leave(&h[1]);
	leave(&h[2]);
	/* Who comes back before Redis has heard of it asks again, behind that. */
	assert_int_equal(join(&h[3], 1, N1, N1, &c), SHARED_LATER);
	answer('c', HOW_JOINED, N2, 500, 0);
	told(&h[3], &c);
	leave_last(&h[3]);
	assert_int_equal(shared_clients(map, N2), 0);
}

/* Who is told of nobody else decides; the client's other connections wait for that. */
static void
test_decides_first(void **state)
{
	struct state_hold h[3];
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N2, N2, &c);
	join(&h[1], 1, N2, N2, &c);
	answer('c', HOW_JOINED, N1, 500, 0);
	told(&h[0], &c);
	assert_int_equal(c.others, 0);
	assert_null(shared_next(map, &port, &c));
	assert_int_equal(join(&h[2], 1, N2, N2, &c), SHARED_LATER);
	/* It does not like N1: all of them go to N2. */
	assert_int_equal(shared_move(&h[0], N1, N2, &c), SHARED_LATER);
	answer('m', HOW_MOVED, N2, 900, 0);
	told(&h[0], &c);
	assert_string_equal(c.node, N2);
	assert_null(shared_next(map, &port, &c));
	shared_settle(&h[0]);
	told(&h[1], &c);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 1);
	told(&h[2], &c);
	assert_int_equal(c.others, 2);
	/* Several: it stays. */
	assert_int_equal(shared_move(&h[1], N2, N1, &c), SHARED_NOW);
	assert_string_equal(c.node, N2);
	assert_int_equal(c.others, 2);
	leave(&h[0]);
	leave(&h[1]);
	leave_last(&h[2]);
}

/* Who decides too slowly stays where it is. */
static void
test_decides_late(void **state)
{
	struct state_hold h[2];
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N2, N2, &c);
	join(&h[1], 1, N2, N2, &c);
	answer('c', HOW_JOINED, N1, 500, 0);
	told(&h[0], &c);
	wait_over(false);
	told(&h[1], &c);
	assert_string_equal(c.node, N1);
	assert_int_equal(c.others, 1);
	assert_int_equal(shared_move(&h[0], N1, N2, &c), SHARED_NOW);
	assert_string_equal(c.node, N1);
	assert_int_equal(c.others, 1);
	leave(&h[0]);
	shared_settle(&h[1]);
	leave_last(&h[1]);
}

/* One that is gone before it has decided keeps nobody waiting. */
static void
test_decider_leaves(void **state)
{
	struct state_hold h[2];
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N1, N1, &c);
	join(&h[1], 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h[0], &c);
	assert_true(c.fresh);
	leave(&h[0]);
	told(&h[1], &c);
	assert_int_equal(c.others, 0);
	assert_int_equal(shared_move(&h[1], N1, N2, &c), SHARED_LATER);
	/* Also while it moves: what Redis says of that is for the next. */
	join(&h[0], 1, N1, N1, &c);
	leave(&h[1]);
	(void)answer('m', HOW_MOVED, N2, 900, 0);
	told(&h[0], &c);
	assert_string_equal(c.node, N2);
	leave_last(&h[0]);
}

/* Of several that have logged on, it lingers as long as the one that needs it longest. */
static void
test_lingers_longest(void **state)
{
	struct state_hold h[2];
	struct state_claim c;
	struct shared_op op;
	struct shared_result r = { .how = HOW_HELD };
	struct state_key lost;

	(void)state;
	join(&h[0], 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h[0], &c);
	shared_settle(&h[0]);
	shared_firm(&h[0], 60000);
	assert_int_equal(join(&h[1], 1, N1, N1, &c), SHARED_NOW);
	shared_firm(&h[1], 0);
	assert_int_equal(shared_take(map, &op, 1, true), 1);
	assert_int_equal(op.stay_ms, 60000);
	assert_false(shared_done(map, &op, &r, &lost));
	leave(&h[1]);
	leave_last(&h[0]);
}

/* No answer in time: home, or where it is known to be; and whatever Redis says later. */
static void
test_blind(void **state)
{
	struct state_hold h[2];
	struct shared_op op;
	struct shared_result r = { .how = HOW_JOINED };
	struct state_key lost;
	struct state_claim c;
	struct record rec;

	(void)state;
	join(&h[0], 1, N2, N1, &c);
	assert_int_equal(shared_take(map, &op, 1, true), 1);
	assert_true(op.exception);
	assert_int_not_equal(op.other.len, 0);
	wait_over(true);
	told(&h[0], &c);
	assert_true(c.blind);
	assert_string_equal(c.node, N1);
	record_make(&rec, &seal, "claim", op.id, NAMES_ID_LEN, 500, N2);
	r.record = rec.bytes;
	r.len = rec.len;
	assert_false(shared_done(map, &op, &r, &lost));
	assert_int_equal(join(&h[1], 1, N1, N1, &c), SHARED_LATER);
	shared_settle(&h[0]);
	told(&h[1], &c);
	assert_string_equal(c.node, N1);
	/* And Redis is told at once. */
	assert_false(answer('s', HOW_HELD, N1, 600, 0));
	nothing_due();
	leave(&h[0]);
	leave_last(&h[1]);
	/* An exception that is known, with Redis away. */
	assert_int_equal(shared_note_exception(map, op.id, rec.bytes, rec.len), 0);
	assert_int_equal(shared_exceptions(map), 1);
	shared_online(map, false, false);
	assert_int_equal(join(&h[0], 1, N1, N1, &c), SHARED_NOW);
	assert_true(c.blind);
	assert_string_equal(c.node, N2);
	leave(&h[0]);
	/* What nobody of us has written is not heard. */
	rec.bytes[20] = 'X';
	assert_int_equal(shared_note_exception(map, op.id, rec.bytes, rec.len), -1);
	assert_int_equal(shared_faults(map)->count[FAULT_BAD_VALUE], 1);
	assert_int_equal(shared_note_exception(map, op.id, NULL, 0), 0);
	assert_int_equal(shared_exceptions(map), 0);
}

static void
names(const struct record *r, const uint8_t *id, const char *node)
{
	char text[STATE_NODE_LEN];
	uint64_t when;

	assert_int_equal(
	    record_get(r->bytes, r->len, &seal, "claim", id, NAMES_ID_LEN, &when, text), 0);
	assert_string_equal(text, node);
}

/* An exception of a node that takes no new clients counts in young data alone. */
static void
test_out(void **state)
{
	struct shared_result none = { .how = -1 };
	struct state_key lost;
	struct state_hold h;
	struct shared_op op;
	struct state_claim c;
	struct record rec;

	(void)state;
	for (int out = 0; out < 2; out++) {
		shared_rehome(map, out ? "\n" N2 "\n" : "");
		join(&h, 1, N1, N1, &c);
		assert_int_equal(shared_take(map, &op, 1, true), 1);
		assert_string_equal(shared_out(map), out ? "\n" N2 "\n" : "");
		names(&op.record, op.id, N1);
		assert_int_equal(op.other.len, 0);
		shared_done(map, &op, &none, &lost);
		told(&h, &c);
		leave_last(&h);
		record_make(&rec, &seal, "claim", op.id, NAMES_ID_LEN, 500, N2);
		assert_int_equal(shared_note_exception(map, op.id, rec.bytes, rec.len), 0);
		join(&h, 1, N1, N1, &c);
		assert_int_equal(shared_take(map, &op, 1, true), 1);
		names(&op.record, op.id, out ? N1 : N2);
		if (out)
			names(&op.other, op.id, N2);
		else
			assert_int_equal(op.other.len, 0);
		shared_done(map, &op, &none, &lost);
		told(&h, &c);
		assert_string_equal(c.node, N2);
		leave_last(&h);
		assert_int_equal(shared_note_exception(map, op.id, NULL, 0), 0);
	}
}

/* A move without answer: nobody knows where the client is, and nobody is sent anywhere. */
static void
test_unsure(void **state)
{
	struct state_hold h[3];
	struct shared_op op;
	struct shared_result none = { .how = -1 };
	struct state_key lost;
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N1, N1, &c);
	answer('c', HOW_JOINED, N1, 500, 0);
	told(&h[0], &c);
	shared_move(&h[0], N1, N2, &c);
	join(&h[1], 1, N1, N1, &c);
	assert_int_equal(shared_take(map, &op, 1, true), 1);
	wait_over(true);
	told(&h[0], &c);
	assert_true(c.busy);
	told(&h[1], &c);
	assert_true(c.busy);
	assert_int_equal(join(&h[2], 1, N1, N1, &c), SHARED_NOW);
	assert_true(c.busy);
	shared_done(map, &op, &none, &lost);
	leave(&h[0]);
	leave(&h[1]);
	leave_last(&h[2]);
	/* With Redis away it is not even tried, while our lease may still count. */
	join(&h[0], 1, N1, N1, &c);
	answer('c', HOW_JOINED, N1, 500, 0);
	told(&h[0], &c);
	shared_leased(map, clock_ms());
	shared_online(map, false, false);
	assert_int_equal(shared_move(&h[0], N1, N2, &c), SHARED_NOW);
	assert_true(c.busy);
	shared_online(map, true, false);
	leave_last(&h[0]);
	/* One that Redis has never heard of is moved. */
	shared_online(map, false, false);
	join(&h[0], 1, N1, N1, &c);
	assert_int_equal(shared_move(&h[0], N1, N2, &c), SHARED_NOW);
	assert_false(c.busy);
	assert_string_equal(c.node, N2);
	leave(&h[0]);
}

/*
 * What the first client of a claim meets in Redis is rubbish. That is no reason to give up: op says
 * so, and is to overwrite it.
 */
static void
meets_rubbish(struct state_hold *h, struct shared_op *op)
{
	const struct shared_result bad = { .how = HOW_LOST, .record = "rubbish", .len = 7 };
	struct state_claim c;
	struct state_key lost;

	shared_online(map, false, false);
	join(h, 1, N1, N1, &c);
	shared_online(map, true, false);
	assert_int_equal(shared_take(map, op, 1, true), 1);
	assert_false(shared_done(map, op, &bad, &lost));
	assert_int_equal(shared_take(map, op, 1, true), 1);
	assert_int_equal(op->bad.len, 7);
}

static void
test_lost(void **state)
{
	struct state_hold h[2];
	struct state_claim c;
	struct shared_op op;
	struct shared_result none = { .how = -1 };
	struct state_key lost;

	(void)state;
	meets_rubbish(&h[0], &op);
	assert_false(shared_done(map, &op, &none, &lost));
	assert_true(answer('s', HOW_LOST, N2, 1, 1));
	assert_int_equal(shared_stats(map)->lost, 1);
	/* Until its connections are gone. */
	assert_int_equal(join(&h[1], 1, N1, N1, &c), SHARED_NOW);
	assert_true(c.busy);
	nothing_due();
	leave(&h[1]);
	leave(&h[0]);
}

/* What was said stands: Redis does not repeat it. A question cannot be answered like that. */
static void
test_not_repeated(void **state)
{
	struct state_hold h[2];
	struct state_claim c;
	struct shared_op op;
	struct shared_result r = { .how = HOW_HELD };
	struct state_key lost;

	(void)state;
	meets_rubbish(&h[0], &op);
	assert_false(shared_done(map, &op, &r, &lost));
	nothing_due();
	/* Nothing is bad any more, and the node is as it was. */
	shared_again(map);
	assert_int_equal(shared_take(map, &op, 1, true), 1);
	assert_int_equal(op.kind, 's');
	assert_int_equal(op.bad.len, 0);
	assert_false(shared_done(map, &op, &r, &lost));
	assert_true(shared_all_said(map));
	assert_int_equal(join(&h[1], 2, N1, N1, &c), SHARED_LATER);
	assert_int_equal(shared_take(map, &op, 1, true), 1);
	assert_int_equal(op.kind, 'c');
	r.how = HOW_MADE;
	assert_false(shared_done(map, &op, &r, &lost));
	assert_int_equal(shared_faults(map)->count[FAULT_BAD_VALUE], 2);
	assert_null(shared_next(map, &port, &c));
	leave_last(&h[1]);
	leave_last(&h[0]);
}

/* After a reconnect all is said again, once, and not what is new. */
static void
test_said_again(void **state)
{
	struct state_hold h[3];
	struct state_claim c;
	struct shared_op op;
	struct shared_result none = { .how = -1 };
	struct state_key lost;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		join(&h[i], i, N1, N1, &c);
		answer('c', HOW_MADE, N1, 500, 0);
		told(&h[i], &c);
	}
	assert_true(shared_all_said(map));
	shared_again(map);
	join(&h[2], 2, N1, N1, &c);
	assert_false(shared_all_said(map));
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h[2], &c);
	/* Only if that has room. */
	assert_int_equal(shared_take(map, &op, 1, false), 0);
	assert_int_equal(shared_take(map, &op, 1, true), 1);
	shared_done(map, &op, &none, &lost);
	answer('s', HOW_HELD, N1, 500, 0);
	assert_false(shared_all_said(map));
	/* One that ends meanwhile is said in that way. */
	leave_last(&h[1]);
	leave(&h[0]);
	if (!shared_all_said(map))
		answer('r', HOW_HELD, NULL, 0, 0);
	assert_true(shared_all_said(map));
	leave(&h[2]);
	while (shared_take(map, &op, 1, true) == 1) {
		struct shared_result held = { .how = HOW_HELD };

		assert_int_equal(op.kind, 'r');
		shared_done(map, &op, &held, &lost);
	}
}

/* The linger time is that of the connection that needs it longest, whichever leaves last. */
static void
test_stays(void **state)
{
	struct state_hold h[2];
	struct state_claim c;
	struct shared_op op;
	struct shared_result held = { .how = HOW_HELD };
	struct state_key lost;

	(void)state;
	join(&h[0], 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h[0], &c);
	shared_settle(&h[0]);
	join(&h[1], 1, N1, N1, &c);
	shared_firm(&h[0], 5000);
	assert_int_equal(shared_take(map, &op, 1, true), 1);
	assert_int_equal(op.kind, 's');
	assert_int_equal(op.stay_ms, 5000);
	shared_done(map, &op, &held, &lost);
	/* (That answer had no record: it is said once more.) */
	shared_leave(&h[0], 5000);
	shared_leave(&h[1], 90000);
	for (int i = 0; i < 2 && shared_take(map, &op, 1, true) == 1; i++) {
		if (op.kind == 'r') {
			assert_true(op.stay_ms > 3000);
			assert_true(op.stay_ms <= 5000);
		}
		shared_done(map, &op, &held, &lost);
	}
}

static void
n2_soon(void *arg, const struct state_key *k, const char *home[2])
{
	(void)arg;
	(void)k;
	home[0] = N1;
	home[1] = N2;
}

static void
always_n2(void *arg, const struct state_key *k, const char *home[2])
{
	n2_soon(arg, k, home);
	home[0] = N2;
}

static void
test_rehome(void **state)
{
	struct state_hold h;
	struct state_claim c;
	struct shared_op op;
	struct shared_result none = { .how = -1 };
	struct state_key lost;

	(void)state;
	join(&h, 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h, &c);
	nothing_due();
	/*
	 * With another policy its home is elsewhere before long: it is an exception, and all shall
	 * know, before the others go by that.
	 */
	shared_keep(map, NULL, n2_soon, NULL);
	shared_rehome(map, "");
	assert_false(shared_rehomed(map));
	assert_int_equal(shared_take(map, &op, 1, true), 1);
	assert_int_equal(op.kind, 's');
	assert_true(op.exception);
	shared_done(map, &op, &none, &lost);
	assert_false(shared_rehomed(map));
	answer('s', HOW_HELD, N1, 500, 0);
	assert_true(shared_rehomed(map));
	/* As it is already: there is nothing to say. */
	shared_keep(map, NULL, always_n2, NULL);
	shared_rehome(map, "");
	assert_true(shared_behind(map));
	nothing_due();
	assert_true(shared_rehomed(map));
	leave_last(&h);
}

/* A proxy that is not in the map sends nobody anywhere. */
static void
test_refusing(void **state)
{
	struct state_hold h[2];
	struct state_claim c;

	(void)state;
	join(&h[0], 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h[0], &c);
	shared_settle(&h[0]);
	shared_online(map, false, true);
	assert_int_equal(join(&h[1], 1, N1, N1, &c), SHARED_NOW);
	assert_false(c.busy);
	leave(&h[1]);
	assert_int_equal(join(&h[1], 2, N1, N1, &c), SHARED_NOW);
	assert_true(c.busy);
	leave(&h[1]);
	shared_online(map, true, false);
	leave_last(&h[0]);
}

struct going {
	struct state_hold held[90];
	unsigned seen[90];
};

/* Whoever is told of a claim may let go of others, and of this one. */
static void
let_go_cb(void *arg, const struct state_key *k, const struct state_claim *claim, uint64_t left_ms)
{
	struct going *g = arg;
	unsigned n = k->b[1];

	assert_string_equal(claim->node, N1);
	assert_int_equal(left_ms, 0);
	assert_true(n < 90);
	g->seen[n]++;
	for (; n < 90; n += 7)
		if (n % 3 == 0 && g->held[n].m != NULL) {
			leave(&g->held[n]);
			g->held[n].m = NULL;
		}
}

static void
test_each_while_they_go(void **state)
{
	static struct going g;
	struct state_claim c;
	unsigned none = 0;

	(void)state;
	shared_online(map, false, false);
	for (unsigned i = 0; i < 90; i++)
		assert_int_equal(join(&g.held[i], i, N1, N1, &c), SHARED_NOW);
	shared_each(map, let_go_cb, &g);
	/* None twice; whoever has stayed, once. */
	for (unsigned i = 0; i < 90; i++) {
		assert_true(g.seen[i] == 1 || (g.seen[i] == 0 && g.held[i].m == NULL));
		none += g.seen[i] == 0;
		if (g.held[i].m != NULL)
			leave(&g.held[i]);
	}
	assert_true(none > 0);
}

/* Others may go by another home already: a client that would be there is sent nowhere. */
static void
test_disputed(void **state)
{
	struct state_hold h;
	struct state_claim c;

	(void)state;
	shared_stats(map)->unsure = true;
	shared_online(map, false, false);
	assert_int_equal(join(&h, 1, N2, N1, &c), SHARED_NOW);
	assert_true(c.busy);
	leave(&h);
	assert_int_equal(join(&h, 2, N1, N1, &c), SHARED_NOW);
	assert_false(c.busy);
	leave(&h);
	shared_online(map, true, false);
	join(&h, 1, N2, N1, &c);
	answer('c', -1, NULL, 0, 0);
	told(&h, &c);
	assert_true(c.busy);
	leave_last(&h);
	shared_stats(map)->unsure = false;
	shared_online(map, false, false);
	assert_int_equal(join(&h, 1, N2, N1, &c), SHARED_NOW);
	assert_false(c.busy);
	leave(&h);
}

/* Redis has heard that it was given up: where it was then is nothing to go by. */
static void
test_given_up(void **state)
{
	struct state_hold h;
	struct state_claim c;

	(void)state;
	join(&h, 1, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(&h, &c);
	leave(&h);
	/* It is back before the answer is, and Redis goes before it has one. */
	{
		struct shared_op op;
		struct shared_result r = { .how = HOW_HELD };
		struct state_key lost;

		assert_int_equal(shared_take(map, &op, 1, true), 1);
		assert_int_equal(op.kind, 'r');
		assert_int_equal(join(&h, 1, N2, N2, &c), SHARED_LATER);
		assert_false(shared_done(map, &op, &r, &lost));
	}
	shared_online(map, false, false);
	told(&h, &c);
	assert_string_equal(c.node, N2);
	leave(&h);
}

static void
test_full(void **state)
{
	static struct state_hold h[101];
	struct state_claim c;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(join(&h[i], i, N1, N1, &c), SHARED_LATER);
	assert_int_equal(join(&h[100], 100, N1, N1, &c), SHARED_FULL);
	assert_null(h[100].e);
	for (unsigned i = 0; i <= 100; i++)
		leave(&h[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_asked_once, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_decides_first, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_decides_late, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_decider_leaves, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_lingers_longest, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_blind, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_out, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_unsure, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_lost, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_not_repeated, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_said_again, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_stays, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_rehome, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_refusing, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_each_while_they_go, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_disputed, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_given_up, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_full, claims_begin, claims_end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
