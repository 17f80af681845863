/* state-facts.c: the sessions of a process in a shared map: what is said of them, and how often */
#include "config.h"

#include "state/record.h"
#include "state/shared.h"
#include "state/state.h"
#include "t/unit/lib/claims.h"
#include "t/unit/lib/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One client lives on N1, and all of it is said. */
static void
live(struct state_hold *h, unsigned n)
{
	struct state_claim c;

	join(h, n, N1, N1, &c);
	answer('c', HOW_MADE, N1, 500, 0);
	told(h, &c);
	shared_settle(h);
}

static void
put_fact(struct state_hold *h, uint64_t session_id, const char *node, const char *text)
{
	struct state_fact f = { .bytes = text, .len = strlen(text) };

	snprintf(f.node, sizeof(f.node), "%s", node);
	shared_fact_put(h, session_id, &f);
}

/* What is to be said now of sessions, as text: "node fact", and a letter for what has ended. */
static size_t
take_facts(struct shared_op *taken, char text[][64], size_t max)
{
	struct shared_op op;
	size_t n;

	assert_int_equal(shared_take(map, &op, 1, true), 1);
	assert_int_equal(op.kind, 's');
	n = op.nfacts;
	assert_true(n <= max);
	for (size_t i = 0; i < n; i++) {
		const char *said = (const char *)op.facts[i].bytes;
		size_t name = op.facts[i].len == 1 ? 0 : strlen(said) + 1;

		snprintf(text[i], 64, "%.31s%s%.*s", name == 0 ? "" : said,
		    name == 0 ? "" : " ", (int)(op.facts[i].len - name), said + name);
	}
	*taken = op;
	return n;
}

/* how: as in struct shared_result. */
static void
answer_facts(const struct shared_op *op, int how)
{
	struct record rec;
	struct shared_result r = { .how = how };
	struct state_key lost;

	record_make(&rec, &seal, "claim", op->id, NAMES_ID_LEN, 500, N1);
	r.record = rec.bytes;
	r.len = rec.len;
	assert_false(shared_done(map, op, &r, &lost));
}

static size_t
said_facts(char text[][64], size_t max)
{
	struct shared_op op;
	const size_t n = take_facts(&op, text, max);

	answer_facts(&op, HOW_HELD);
	return n;
}

static void
test_facts(void **state)
{
	uint8_t id[2][NAMES_ID_LEN], sid[2][NAMES_ID_LEN];
	struct state_hold h[2], none = { .m = map };
	char text[4][64];

	(void)state;
	live(&h[0], 1);
	live(&h[1], 2);
	put_fact(&h[0], 7, N1, "abc");
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], N1 " abc");
	nothing_due();
	/* The same number on another node, of another client, is another session. */
	put_fact(&h[0], 7, N1, "new");
	put_fact(&h[1], 7, N2, "two");
	assert_int_equal(shared_facts(map), 2);
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], N1 " new");
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], N2 " two");
	assert_int_equal(shared_fact_id(&h[0], 7, id[0], sid[0]), 0);
	assert_int_equal(shared_fact_id(&h[1], 7, id[1], sid[1]), 0);
	assert_memory_equal(sid[0], sid[1], NAMES_ID_LEN);
	assert_memory_not_equal(id[0], id[1], NAMES_ID_LEN);
	/* What is over is said to be, once; what we have left may still be another proxy's. */
	shared_fact_drop(map, 7, N1, true);
	shared_fact_drop(map, 7, N1, false);
	shared_fact_drop(map, 7, N2, false);
	shared_fact_drop(map, 7, N2, false);
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], "-");
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], "?");
	assert_int_equal(shared_facts(map), 0);
	nothing_due();
	/* Nobody has heard of it. */
	shared_fact_drop(map, 8, N1, true);
	shared_fact_drop(map, 7, "n9=9", true);
	put_fact(&h[0], 8, N1, "");
	put_fact(&none, 8, N1, "abc");
	assert_int_equal(shared_fact_id(&none, 8, id[0], sid[0]), -1);
	assert_int_equal(shared_facts(map), 0);
	nothing_due();
	leave_last(&h[0]);
	leave_last(&h[1]);
}

/* Many sessions of one client: in parts, each once, and all again when everything is. */
static void
test_facts_crowd(void **state)
{
	static char text[SHARED_FACTS_MAX][64];
	unsigned times[200] = { 0 };
	struct state_hold h;
	size_t n = 0;

	(void)state;
	live(&h, 1);
	for (unsigned i = 0; i < 200; i++) {
		char fact[8];

		snprintf(fact, sizeof(fact), "%u", i);
		put_fact(&h, i, N1, fact);
	}
	for (int part = 0; part < 2; part++)
		assert_int_equal(said_facts(text, SHARED_FACTS_MAX), SHARED_FACTS_MAX);
	/* All again, while some wait for their first time; one is new, one is left. */
	shared_again(map);
	put_fact(&h, 50, N1, "50");
	shared_fact_drop(map, 199, N1, false);
	while (n < 199) {
		size_t some = said_facts(text, SHARED_FACTS_MAX);

		assert_true(some > 0);
		n += some;
		for (size_t i = 0; i < some; i++)
			times[text[i][0] == '?' ? 199 : atoi(text[i] + strlen(N1) + 1)]++;
	}
	for (unsigned i = 0; i < 199; i++)
		assert_int_equal(times[i], 1);
	assert_int_equal(shared_facts(map), 199);
	while (times[199] == 0)
		times[199] = said_facts(text, SHARED_FACTS_MAX) == 1 && text[0][0] == '?';
	assert_true(shared_all_said(map));
	nothing_due();
	leave_last(&h);
}

/* A client without connections has no sessions, and one that is lost has none here. */
static void
test_facts_end(void **state)
{
	struct state_hold h, again;
	char text[4][64];
	struct state_claim c;

	(void)state;
	live(&h, 1);
	put_fact(&h, 7, N1, "abc");
	put_fact(&h, 8, N1, "def");
	assert_int_equal(said_facts(text, 4), 2);
	leave(&h);
	assert_int_equal(shared_facts(map), 0);
	(void)answer('r', HOW_HELD, NULL, 0, 0);
	live(&again, 1);
	put_fact(&again, 7, N1, "abc");
	assert_int_equal(shared_facts(map), 1);
	assert_true(answer('s', HOW_LOST, N2, 400, 1));
	put_fact(&again, 9, N1, "abc");
	assert_int_equal(shared_facts(map), 1);
	shared_fact_drop(map, 7, N1, true);
	assert_int_equal(shared_facts(map), 0);
	nothing_due();
	leave(&again);
	assert_null(shared_next(map, &port, &c));
}

/* What Redis has not heard is said until it has, whether a session is there or over. */
static void
test_facts_unheard(void **state)
{
	struct state_hold h;
	struct shared_op op;
	char text[4][64];

	(void)state;
	live(&h, 1);
	put_fact(&h, 6, N1, "old");
	assert_int_equal(said_facts(text, 4), 1);
	put_fact(&h, 7, N1, "abc");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(take_facts(&op, text, 4), 1);
		assert_string_equal(text[0], N1 " abc");
		answer_facts(&op, i == 2 ? HOW_HELD : -1);
	}
	nothing_due();
	shared_fact_drop(map, 7, N1, true);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(take_facts(&op, text, 4), 1);
		assert_string_equal(text[0], "-");
		answer_facts(&op, i == 2 ? HOW_HELD : -1);
	}
	assert_int_equal(shared_facts(map), 1);
	nothing_due();
	/* It ends while it is said that it is there, and is there while its end is said. */
	put_fact(&h, 8, N1, "def");
	assert_int_equal(take_facts(&op, text, 4), 1);
	shared_fact_drop(map, 8, N1, true);
	answer_facts(&op, HOW_HELD);
	assert_int_equal(take_facts(&op, text, 4), 1);
	assert_string_equal(text[0], "-");
	put_fact(&h, 8, N1, "ghi");
	answer_facts(&op, -1);
	/* With one that stood behind it, which harms nobody. */
	assert_int_equal(said_facts(text, 4), 2);
	assert_string_equal(text[0], N1 " old");
	assert_string_equal(text[1], N1 " ghi");
	assert_int_equal(shared_facts(map), 2);
	/* All is said again while the end of one is on its way. */
	shared_fact_drop(map, 8, N1, true);
	assert_int_equal(take_facts(&op, text, 4), 1);
	shared_again(map);
	answer_facts(&op, HOW_HELD);
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], N1 " old");
	nothing_due();
	leave_last(&h);
}

/* What a proxy has said of its part in a session it takes back, whether or not that was heard. */
static void
test_facts_left(void **state)
{
	struct state_hold h;
	struct shared_op op;
	char text[4][64];

	(void)state;
	live(&h, 1);
	put_fact(&h, 7, N1, "abc");
	assert_int_equal(take_facts(&op, text, 4), 1);
	answer_facts(&op, -1);
	shared_fact_drop(map, 7, N1, false);
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], "?");
	/* Or it has said something else of it before. */
	put_fact(&h, 8, N1, "abc");
	assert_int_equal(said_facts(text, 4), 1);
	put_fact(&h, 8, N1, "def");
	shared_fact_drop(map, 8, N1, false);
	assert_int_equal(said_facts(text, 4), 1);
	assert_string_equal(text[0], "?");
	/* But nothing of what it has never said. */
	put_fact(&h, 9, N1, "abc");
	shared_fact_drop(map, 9, N1, false);
	assert_int_equal(said_facts(text, 4), 0);
	assert_int_equal(shared_facts(map), 0);
	leave_last(&h);
}

/* What others are to be told waits for Redis; of too much, the oldest goes. */
static void
test_news_wait(void **state)
{
	const struct state_reset reset = { .key = 5 };
	struct state_reset r;
	uint8_t bytes[STATE_FACT_MAX];
	uint32_t first = 0, n = 0, said;
	size_t len;

	(void)state;
	shared_online(map, false, false);
	for (uint32_t i = 0; i < 5000; i++)
		shared_put_told(map, &i, sizeof(i));
	shared_put_reset(map, &reset);
	while (shared_take_news(map, &r, bytes, &len) && len > 0) {
		assert_int_equal(len, sizeof(said));
		memcpy(&said, bytes, sizeof(said));
		if (n == 0)
			first = said;
		assert_int_equal(said, first + n++);
	}
	assert_in_range(n, 500, 2000);
	assert_int_equal(first + n, 5000);
	assert_int_equal(r.key, 5);
	assert_false(shared_take_news(map, &r, bytes, &len));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_facts, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_facts_crowd, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_facts_end, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_facts_unheard, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_facts_left, claims_begin, claims_end),
		cmocka_unit_test_setup_teardown(test_news_wait, claims_begin, claims_end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
