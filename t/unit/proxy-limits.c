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
enter(struct limits *l, const struct addr *a, unsigned tries, enum close_reason *why)
{
	unsigned in = 0, delay;

	for (unsigned i = 0; i < tries; i++) {
		if (!limits_take(l)) {
			*why = CLOSE_COUNT;
			continue;
		}
		if (limits_enter(l, &loose, a, 1000, &delay, why))
			in++;
		else
			limits_give(l);
	}
	return in;
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
		limits_leave(l, &a);
	assert_int_equal(limits_patience(l, &loose), PATIENCE_LEAST);
	limits_give(l);
	assert_int_equal(enter(l, &a, 1, &why), 1);
	limits_leave(l, &a);
	assert_false(limits_take(l));
	assert_int_equal(limits_taken(l), 100);
	limits_give(l);
	assert_true(limits_take(l));
	limits_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_oldest_first),
		cmocka_unit_test(test_places),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
