/* proxy-limits.c: who may enter, how long he may take to log on, and who goes first */
#include "config.h"

#include "base/addr.h"
#include "policy/policy.h"
#include "proxy/limits.h"
#include "proxy/patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct pol_limits loose = {
	.unauthenticated = 1000,
	.unauthenticated_per_source = 1000,
	.connections_per_source = 1000,
};

static void
test_patience(void **state)
{
	(void)state;
	assert_int_equal(patience_share(0, 100), PATIENCE_ALL);
	assert_int_equal(patience_share(25, 100), PATIENCE_ALL);
	assert_int_equal(patience_share(50, 100), 55);
	assert_int_equal(patience_share(75, 100), PATIENCE_LEAST);
	assert_int_equal(patience_share(1000, 100), PATIENCE_LEAST);
	assert_int_equal(patience_share(UINT32_MAX, UINT32_MAX), PATIENCE_LEAST);
	assert_int_equal(patience_share(0, 0), PATIENCE_LEAST);
	for (unsigned used = 0; used < 100; used++)
		assert_true(patience_share(used, 100) >= patience_share(used + 1, 100));
}

/* The same share for all: of two connections the older one is over its deadline first. */
static void
test_oldest_first(void **state)
{
	const uint64_t logon = 300000, older = 1000, younger = 40000;

	(void)state;
	assert_int_equal(patience_of(logon, PATIENCE_ALL), logon);
	assert_int_equal(patience_of(logon, PATIENCE_LEAST), logon / 10);
	for (unsigned share = PATIENCE_LEAST; share <= PATIENCE_ALL; share++)
		assert_true(older + patience_of(logon, share) <
		    younger + patience_of(logon, share));
}

static unsigned
enter_by(struct limits *l, const struct pol_limits *p, const struct addr *a, unsigned tries,
    enum close_reason *why)
{
	unsigned in = 0, delay;

	for (unsigned i = 0; i < tries; i++) {
		if (!limits_take(l)) {
			*why = CLOSE_COUNT;
			continue;
		}
		if (limits_enter(l, p, a, 1000, &delay, why))
			in++;
		else
			limits_give(l);
	}
	return in;
}

static unsigned
enter(struct limits *l, const struct addr *a, unsigned tries, enum close_reason *why)
{
	return enter_by(l, &loose, a, tries, why);
}

static void
move(struct limits *l, const struct addr *a, enum standing from, enum standing to)
{
	assert_true(limits_move(l, &loose, a, from, to));
}

/* The fewer places are left, the fewer strangers get one; a logon takes none. */
static void
test_places(void **state)
{
	struct limits *l = limits_new(100);
	enum close_reason why = CLOSE_SHUTDOWN;
	bool early = false;
	struct addr a;
	unsigned in;

	(void)state;
	assert_non_null(l);
	assert_int_equal(addr_parse(&a, "10.1.0.1"), 0);
	assert_int_equal(limits_places(l), 100);
	assert_int_equal(limits_patience(l, &loose), PATIENCE_ALL);
	assert_int_equal(enter(l, &a, 70, &why), 70);
	assert_true(limits_patience(l, &loose) < 20);
	for (in = 70; in < 100; early |= why == CLOSE_NO_FILES)
		in += enter(l, &a, 1, &why);
	/* One in 10^9 runs has it that all of them were lucky. */
	assert_true(early);
	assert_int_equal(limits_taken(l), in);
	assert_int_equal(limits_patience(l, &loose), PATIENCE_LEAST);
	/* They log on: that takes nothing, and the rest may come. */
	for (unsigned i = 0; i < in; i++)
		move(l, &a, STANDING_STRANGER, STANDING_USER);
	assert_int_equal(limits_patience(l, &loose), PATIENCE_LEAST);
	limits_give(l);
	assert_int_equal(enter(l, &a, 1, &why), 1);
	move(l, &a, STANDING_STRANGER, STANDING_USER);
	assert_false(limits_take(l));
	assert_int_equal(limits_taken(l), 100);
	limits_give(l);
	assert_true(limits_take(l));
	limits_free(&l);
}

/* A guest counts for its source as before it was one; a user only among all connections. */
static void
test_source(void **state)
{
	const struct pol_limits p = {
		.unauthenticated = 1000,
		.unauthenticated_per_source = 4,
		.connections_per_source = 6,
	};
	struct limits *l = limits_new(1000);
	enum close_reason why = CLOSE_SHUTDOWN;
	struct addr a, b;
	unsigned guests;

	(void)state;
	assert_int_equal(addr_parse(&a, "10.1.0.1"), 0);
	assert_int_equal(addr_parse(&b, "10.1.0.2"), 0);
	assert_int_equal(enter_by(l, &p, &a, 10, &why), 4);
	assert_int_equal(why, CLOSE_UNAUTH_SOURCE);
	for (int i = 0; i < 4; i++)
		move(l, &a, STANDING_STRANGER, STANDING_GUEST);
	assert_int_equal(limits_unauthenticated(l, &guests), 4);
	assert_int_equal(guests, 4);
	assert_int_equal(enter_by(l, &p, &a, 10, &why), 0);
	assert_int_equal(why, CLOSE_UNAUTH_SOURCE);
	/* Others do not pay for it. */
	assert_int_equal(enter_by(l, &p, &b, 10, &why), 4);
	/* Users join two of the guests: there is room for two more. */
	move(l, &a, STANDING_GUEST, STANDING_USER);
	move(l, &a, STANDING_GUEST, STANDING_USER);
	assert_int_equal(enter_by(l, &p, &a, 10, &why), 2);
	assert_int_equal(why, CLOSE_SOURCE_FULL);
	move(l, &a, STANDING_STRANGER, STANDING_USER);
	assert_int_equal(enter_by(l, &p, &a, 10, &why), 0);
	assert_int_equal(why, CLOSE_SOURCE_FULL);
	/* One that goes makes room, whatever it was. */
	move(l, &a, STANDING_USER, STANDING_NONE);
	limits_give(l);
	assert_int_equal(enter_by(l, &p, &a, 10, &why), 1);
	assert_int_equal(limits_unauthenticated(l, &guests), 8);
	assert_int_equal(guests, 2);
	limits_free(&l);
}

/* Guests stay: they take of the room, and hurry nobody; but the last quarter is not for them. */
static void
test_guests(void **state)
{
	const struct pol_limits p = {
		.unauthenticated = 100,
		.unauthenticated_per_source = 1000,
		.connections_per_source = 1000,
	};
	struct limits *l = limits_new(1000);
	enum close_reason why = CLOSE_SHUTDOWN;
	unsigned guests = 0, in = 0;
	struct addr a;

	(void)state;
	assert_int_equal(addr_parse(&a, "10.1.0.1"), 0);
	for (int i = 0; i < 75; i++) {
		assert_int_equal(enter_by(l, &p, &a, 1, &why), 1);
		assert_true(limits_move(l, &p, &a, STANDING_STRANGER, STANDING_GUEST));
		assert_int_equal(limits_patience(l, &p), PATIENCE_ALL);
	}
	assert_int_equal(enter_by(l, &p, &a, 1, &why), 1);
	assert_false(limits_move(l, &p, &a, STANDING_STRANGER, STANDING_GUEST));
	assert_true(limits_move(l, &p, &a, STANDING_STRANGER, STANDING_USER));
	/* 25 are left to strangers, of whom the last may be unlucky. */
	for (int i = 0; i < 1000 && in < 25; i++)
		in += enter_by(l, &p, &a, 1, &why);
	assert_int_equal(in, 25);
	assert_int_equal(enter_by(l, &p, &a, 10, &why), 0);
	assert_int_equal(why, CLOSE_UNAUTH_LIMIT);
	assert_int_equal(limits_unauthenticated(l, &guests), 100);
	assert_int_equal(guests, 75);
	assert_int_equal(limits_patience(l, &p), PATIENCE_LEAST);
	limits_free(&l);
	/* Nor are the last places. */
	l = limits_new(4);
	assert_int_equal(enter_by(l, &p, &a, 3, &why), 3);
	for (int i = 0; i < 3; i++)
		assert_true(limits_move(l, &p, &a, STANDING_STRANGER, STANDING_GUEST));
	assert_int_equal(enter_by(l, &p, &a, 1, &why), 1);
	assert_false(limits_move(l, &p, &a, STANDING_STRANGER, STANDING_GUEST));
	limits_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_oldest_first),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_guests),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
