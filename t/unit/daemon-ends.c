/* daemon-ends.c: who has not heard of ends is told again, each his own, and not for ever */
#include "config.h"

#include "daemon/ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PEERS 3

static char peers[PEERS][TALK_TOKEN] = { "a", "b", "c" };

static struct parting
client(unsigned n)
{
	struct parting p = { .n = 1 };

	memcpy(p.who[0].key.b, &n, sizeof(n));
	return p;
}

/* Which client is to be told again; -1: none. */
static int
due(struct ends *e, uint64_t now_ms, uint32_t *number, uint32_t *ago_ms)
{
	struct parting p;
	unsigned n;

	if (!ends_due(e, now_ms, &p, number, ago_ms))
		return -1;
	memcpy(&n, p.who[0].key.b, sizeof(n));
	return (int)n;
}

static uint32_t
add(struct ends *e, unsigned n, size_t npeers, uint64_t now_ms)
{
	const struct parting p = client(n);

	return ends_add(e, &p, peers, npeers, now_ms);
}

static void
test_heard(void **state)
{
	struct ends *e = ends_new();
	const uint32_t first = add(e, 1, PEERS, 1000), second = add(e, 2, PEERS, 1000);
	uint32_t number, ago_ms;

	(void)state;
	assert_int_not_equal(first, second);
	/* Twice the same one, one that was not asked, one of another number. */
	ends_heard(e, first, peers[0]);
	ends_heard(e, first, peers[0]);
	ends_heard(e, first, (const char[TALK_TOKEN]){ "d" });
	ends_heard(e, 77, peers[2]);
	assert_true(ends_wait(e));
	assert_int_equal(due(e, 1000 + ENDS_AGAIN_MS - 1, &number, &ago_ms), -1);
	assert_int_equal(due(e, 1000 + ENDS_AGAIN_MS, &number, &ago_ms), 1);
	assert_int_equal(number, first);
	assert_int_equal(ago_ms, ENDS_AGAIN_MS);
	ends_heard(e, first, peers[2]);
	ends_heard(e, first, peers[1]);
	assert_int_equal(due(e, 1000 + ENDS_AGAIN_MS, &number, &ago_ms), 2);
	assert_int_equal(due(e, 1000 + ENDS_AGAIN_MS, &number, &ago_ms), -1);
	for (size_t i = 0; i < PEERS; i++)
		ends_heard(e, second, peers[i]);
	assert_false(ends_wait(e));
	assert_int_equal(add(e, 3, 0, 1000), 0);
	assert_false(ends_wait(e));
	ends_free(&e);
	assert_null(e);
}

/* Who never answers is told some times, not hundreds, and then no longer. */
static void
test_silent(void **state)
{
	struct ends *e = ends_new();
	struct parting p;
	uint32_t number, ago_ms;
	unsigned times = 0;

	(void)state;
	add(e, 1, PEERS, 1000);
	for (uint64_t now = 1000; now < 1000 + ENDS_FOR_MS; now += 100) {
		assert_false(ends_given_up(e, now, &p));
		if (due(e, now, &number, &ago_ms) != -1)
			times++;
	}
	assert_in_range(times, 5, 7);
	assert_true(ends_given_up(e, 1000 + ENDS_FOR_MS, &p));
	assert_int_equal(p.n, 1);
	assert_false(ends_wait(e));
	assert_false(ends_given_up(e, 1000 + ENDS_FOR_MS, &p));
	ends_free(&e);
}

/* A drain's deadline ends thousands: what was told first makes room, and it was told once. */
static void
test_crowd(void **state)
{
	struct ends *e = ends_new();
	uint32_t first, number, ago_ms;
	unsigned n = 0;

	(void)state;
	first = add(e, 0, PEERS, 1000);
	for (unsigned i = 1; i < ENDS_MAX + 10; i++)
		add(e, i, PEERS, 1000);
	ends_heard(e, first, peers[0]);
	while (due(e, 2000, &number, &ago_ms) != -1) {
		assert_int_equal(number, first + 10 + n++);
		for (size_t i = 0; i < PEERS; i++)
			ends_heard(e, number, peers[i]);
	}
	assert_int_equal(n, ENDS_MAX);
	assert_false(ends_wait(e));
	add(e, 1, PEERS, 1000);
	ends_free(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heard),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_crowd),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
