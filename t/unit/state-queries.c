/* state-queries.c: questions about sessions at other proxies: who is asked for, and how often */
#include "config.h"

#include "base/clock.h"
#include "state/queries.h"
#include "state/state.h"
#include "state/wake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#define MS 30

static struct event_base *base;
static struct queries *all;
static struct queries_port port;
static unsigned answered, found;

static void
woken_cb(void *arg)
{
	(void)arg;
}

static void
fact_cb(void *arg, const struct state_fact *f)
{
	struct state_query **q = arg;

	*q = NULL;
	answered++;
	found += f != NULL;
}

static int
setup(void **state)
{
	(void)state;
	answered = found = 0;
	base = event_base_new();
	all = queries_new();
	TAILQ_INIT(&port.answered);
	port.wake = base == NULL ? NULL : wake_new(base, woken_cb, NULL);
	return all == NULL || port.wake == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	wake_free(&port.wake);
	queries_free(&all);
	event_base_free(base);
	return 0;
}

static struct state_query *
ask_from(uint64_t source, struct state_query **q, unsigned ms, bool likely)
{
	const struct query_about about = { .likely = likely, .source = source };

	*q = queries_ask(all, &port, &about, ms, fact_cb, q);
	return *q;
}

static struct state_query *
ask(struct state_query **q, unsigned ms, bool likely)
{
	return ask_from(0, q, ms, likely);
}

static struct state_query *
next(void)
{
	uint8_t id[NAMES_ID_LEN], sid[NAMES_ID_LEN];

	return queries_asked(all, id, sid);
}

static void
until(uint64_t ms)
{
	while (clock_ms() < ms)
		usleep(500);
}

/* Redis says at once that nothing is there, until they are answered; how often it was asked. */
static unsigned
nothing_there(unsigned n)
{
	struct state_query *q;
	unsigned times = 0;

	while (answered < n) {
		uint64_t at;

		while ((q = next()) != NULL) {
			queries_answered(q, NULL, false);
			times++;
		}
		at = queries_expire(all);
		queries_answer(all, &port);
		if (answered < n) {
			assert_int_not_equal(at, 0);
			until(at);
		}
	}
	assert_int_equal(queries_expire(all), 0);
	assert_null(next());
	return times;
}

/* What may be there soon is asked for again: soon at first, and not for ever. */
static void
likely(void **state)
{
	const struct state_fact fact = { .node = "n1", .bytes = "x", .len = 1 };
	struct state_query *q[2], *k;
	unsigned times;

	(void)state;
	assert_non_null(ask(&q[0], MS, true));
	assert_true(nothing_there(1) <= 6);
	/* The longest timeout that there may be. */
	assert_non_null(ask(&q[0], 3000, true));
	times = nothing_there(2);
	assert_true(times >= 4 && times <= 20);
	assert_int_equal(found, 0);
	/* It is there the second time. */
	assert_non_null(ask(&q[0], 3000, true));
	queries_answered(next(), NULL, false);
	assert_null(next());
	until(queries_expire(all));
	k = next();
	assert_non_null(k);
	queries_answered(k, &fact, false);
	queries_answer(all, &port);
	assert_int_equal(found, 1);
	assert_int_equal(answered, 3);
}

/* Of a client that only we know, hardly: once, and not of a crowd of them. */
static void
strangers(void **state)
{
	struct state_query *q[1000];
	const uint64_t start = clock_ms();
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		n += ask(&q[i], MS, false) != NULL;
	assert_true(n >= 1 && n <= clock_ms() - start + 1);
	assert_int_equal(nothing_there(n), n);
	/* They keep nobody else from being asked for. */
	until(clock_ms() + 1);
	assert_non_null(ask(&q[0], MS, false));
	assert_non_null(ask(&q[1], 1000, true));
	assert_true(nothing_there(n + 2) > 2);
}

/* Many at once are as strangers: who is there first is asked for again. */
static void
crowd(void **state)
{
	struct state_query *q[1000];
	const uint64_t start = clock_ms();
	unsigned n = 0;
	uint64_t most;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		n += ask(&q[i], 3000, true) != NULL;
	most = 64 + clock_ms() - start + 1;
	assert_true(n >= 64 && n <= most);
	/* Who goes makes room. */
	for (size_t i = 0; i < 64; i++)
		queries_unask(q[i]);
	for (size_t i = 0; i < 64; i++)
		assert_non_null(ask(&q[i], 3000, true));
	for (size_t i = 0; i < 1000; i++)
		if (q[i] != NULL)
			queries_unask(q[i]);
	assert_null(next());
	assert_int_equal(queries_expire(all), 0);
}

/* Whoever has most of them gives way: others are asked for as if he were not there. */
static void
sources(void **state)
{
	struct state_query *q[1000], *out[1000], *other[40], *k;
	unsigned n = 0, nout = 0, times = 0;
	bool again = false;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		n += ask_from(1, &q[i], 3000, true) != NULL;
	/* Half of these wait to be asked again, others for Redis, others to be asked. */
	for (unsigned i = 0; i < n / 2; i++) {
		k = next();
		if (i % 2 == 0)
			queries_answered(k, NULL, false);
		else
			out[nout++] = k;
	}
	for (size_t i = 0; i < 20; i++)
		assert_non_null(ask_from(2, &other[i], 3000, true));
	for (size_t i = 20; i < 40; i++)
		assert_non_null(ask_from(10 + i, &other[i], 3000, true));
	/* He is told at once of those that he lost while they waited. */
	queries_answer(all, &port);
	for (size_t i = 0; i < 40; i++)
		assert_non_null(other[i]);
	while ((k = next()) != NULL) {
		again |= k == other[0];
		queries_answered(k, NULL, false);
		times++;
	}
	assert_true(again && times > 40);
	/* They are asked for again. */
	again = false;
	until(clock_ms() + 2 * MS);
	while ((k = next()) != NULL) {
		again |= k == other[39];
		queries_answered(k, NULL, true);
	}
	assert_true(again);
	queries_answer(all, &port);
	for (size_t i = 0; i < 40; i++)
		assert_null(other[i]);
	for (size_t i = 0; i < 1000; i++)
		if (q[i] != NULL)
			queries_unask(q[i]);
	while (nout > 0)
		queries_answered(out[--nout], NULL, true);
	assert_int_equal(queries_expire(all), 0);
}

/* Redis says nothing: all are answered in time, also those that it still has; it answers late. */
static void
silent(void **state)
{
	struct state_query *q[3], *k[2];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_non_null(ask(&q[i], MS, true));
	k[0] = next();
	k[1] = next();
	assert_non_null(k[1]);
	until(queries_expire(all));
	while (answered < 3) {
		(void)queries_expire(all);
		queries_answer(all, &port);
	}
	assert_int_equal(queries_expire(all), 0);
	assert_int_equal(found, 0);
	queries_answered(k[0], NULL, false);
	queries_answered(k[1], NULL, true);
	assert_null(next());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(likely, setup, teardown),
		cmocka_unit_test_setup_teardown(strangers, setup, teardown),
		cmocka_unit_test_setup_teardown(crowd, setup, teardown),
		cmocka_unit_test_setup_teardown(sources, setup, teardown),
		cmocka_unit_test_setup_teardown(silent, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
