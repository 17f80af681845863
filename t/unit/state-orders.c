/* state-orders.c: operators' orders on several proxies: all go by the same one in the end */
#include "config.h"

#include "base/tlv.h"
#include "state/orders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "t/unit/lib/seal.h"

#define N1 "n1=10.0.0.1:445"
#define PROXIES 3

/* What Redis has of the one node; len 0: nothing. */
static struct record redis;

static void
send_cb(void *arg, const char *node, const struct record *r)
{
	(void)arg;
	assert_string_equal(node, N1);
	redis = *r;
}

/* What a proxy does once a second; 1: there is news for it. */
static int
tick(struct orders *o)
{
	struct order_said said;
	int r = 0;

	orders_given(o, send_cb, NULL);
	orders_begin(o);
	if (redis.len > 0)
		r = orders_take(o, N1, strlen(N1), redis.bytes, redis.len, 1000, &said);
	orders_missing(o, send_cb, NULL);
	return r;
}

static void
goes_by(struct orders *o, const char *stand)
{
	struct order_said said;

	assert_true(orders_find(o, N1, 1000, &said));
	assert_string_equal(said.stand, stand);
}

static void
begin(struct orders **o, size_t n)
{
	redis.len = 0;
	for (size_t i = 0; i < n; i++)
		assert_non_null(o[i] = orders_new(&seal));
}

static void
end(struct orders **o, size_t n)
{
	for (size_t i = 0; i < n; i++)
		orders_free(&o[i]);
}

static void
test_later(void **state)
{
	struct orders *o[2];
	struct order_said said;

	(void)state;
	begin(o, 2);
	assert_int_equal(tick(o[0]), 0);
	assert_false(orders_find(o[0], N1, 1000, &said));
	orders_give(o[0], N1, "drain", 500);
	assert_int_equal(tick(o[0]), 0);
	assert_int_equal(tick(o[1]), 1);
	goes_by(o[1], "drain");
	assert_int_equal(tick(o[1]), 0);
	/* What was said later counts, whoever reaches Redis first; and again, if Redis loses it. */
	orders_give(o[1], N1, "active", 501);
	orders_give(o[0], N1, "maint", 502);
	assert_int_equal(tick(o[0]), 0);
	assert_int_equal(tick(o[1]), 0);
	assert_int_equal(tick(o[0]), 0);
	assert_int_equal(tick(o[1]), 1);
	goes_by(o[1], "maint");
	redis.len = 0;
	assert_int_equal(tick(o[1]), 0);
	assert_true(redis.len > 0);
	/* A clock that was set back is no reason not to be heard. */
	orders_give(o[1], N1, "active", 100);
	assert_int_equal(tick(o[1]), 0);
	assert_int_equal(tick(o[0]), 1);
	goes_by(o[0], "active");
	end(o, 2);
}

/* Two say different things in the same millisecond. */
static void
test_same_time(void **state)
{
	static const char *const stands[2] = { "active", "maint" };
	struct orders *o[2];

	(void)state;
	for (int first = 0; first < 2; first++) {
		begin(o, 2);
		for (int i = 0; i < 2; i++)
			orders_give(o[i], N1, stands[i], 500);
		for (int i = 0; i < 4; i++)
			(void)tick(o[(i + first) % 2]);
		goes_by(o[0], "maint");
		goes_by(o[1], "maint");
		end(o, 2);
	}
}

/* Many orders within a few milliseconds: before long, all proxies and Redis agree, and stay so. */
static void
test_crowd(void **state)
{
	static const char *const stands[] = { "active", "drain", "drain 5000", "maint" };
	const unsigned seed = (unsigned)time(NULL);
	struct orders *o[PROXIES];
	struct order_said said;

	(void)state;
	print_message("# seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 2000; round++) {
		begin(o, PROXIES);
		for (int i = 0; i < 40; i++) {
			struct orders *x = o[rand() % PROXIES];

			if (rand() % 2 == 0)
				orders_give(x, N1, stands[rand() % 4], 500 + (uint64_t)(i / 10));
			else
				(void)tick(x);
		}
		orders_give(o[0], N1, "active", 500);
		for (int i = 0; i < 3 * PROXIES; i++)
			(void)tick(o[i % PROXIES]);
		assert_true(orders_find(o[0], N1, 1000, &said));
		for (int i = 0; i < PROXIES; i++) {
			const struct record before = redis;

			goes_by(o[i], said.stand);
			assert_int_equal(tick(o[i]), 0);
			assert_memory_equal(before.bytes, redis.bytes, before.len);
		}
		end(o, PROXIES);
	}
}

/* What was given without Redis goes on with an upgrade; what is later, and known, stays. */
static void
test_upgrade(void **state)
{
	struct tlv_out out = { .len = 0 };
	struct orders *o[3];

	(void)state;
	begin(o, 3);
	orders_give(o[0], N1, "drain", 500);
	for (int i = 0; i < 3; i++)
		(void)tick(o[i]);
	orders_give(o[0], N1, "active", 501);
	orders_write(o[0], &out);
	/* The next one knows already what Redis has, */
	assert_int_equal(orders_read(o[1], out.data, out.len), 0);
	goes_by(o[1], "active");
	assert_int_equal(tick(o[1]), 0);
	assert_int_equal(tick(o[2]), 1);
	goes_by(o[2], "active");
	/* or something later than that. */
	orders_give(o[2], N1, "maint", 502);
	assert_int_equal(orders_read(o[2], out.data, out.len), 0);
	goes_by(o[2], "maint");
	assert_int_equal(tick(o[2]), 0);
	assert_int_equal(tick(o[1]), 1);
	/* It may end anywhere, and then it says nothing else. */
	for (size_t n = 1; n < out.len; n++) {
		assert_int_equal(orders_read(o[1], out.data, n), -1);
		goes_by(o[1], "maint");
	}
	tlv_out_fini(&out);
	tlv_put(&out, 1, "", 0);
	assert_int_equal(orders_read(o[1], out.data, out.len), -1);
	tlv_out_fini(&out);
	end(o, 3);
}

/* What is no order, and the last one of each node. */
static void
test_others(void **state)
{
	struct orders *o[1];
	struct order_said said;
	struct record r;

	(void)state;
	begin(o, 1);
	record_make(&r, &seal, "stand", N1, strlen(N1), 500, "drain");
	assert_int_equal(orders_take(o[0], N1, strlen(N1), r.bytes, r.len, 1000, &said), 1);
	assert_int_equal(said.age_ms, 500);
	assert_int_equal(orders_take(o[0], N1, strlen(N1), r.bytes, r.len, 100, &said), 0);
	assert_int_equal(said.age_ms, 0);
	assert_int_equal(orders_take(o[0], "n2=x", 4, r.bytes, r.len, 1000, &said), -1);
	assert_int_equal(orders_take(o[0], N1, 0, r.bytes, r.len, 1000, &said), -1);
	assert_int_equal(orders_take(o[0], N1, strlen(N1), r.bytes, r.len - 1, 1000, &said), -1);
	/* No room for more nodes. */
	for (int i = 0; i < 2000; i++) {
		char node[32];

		snprintf(node, sizeof(node), "x%d=10.0.0.1:445", i);
		orders_give(o[0], node, "drain", 500);
		assert_true(orders_find(o[0], node, 1000, &said) == (i < 1023));
	}
	goes_by(o[0], "drain");
	end(o, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_same_time),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_others),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
