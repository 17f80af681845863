/* keyd-rules.c: unit tests of what smbgate-keyd answers at all: services, how new, how often */
#include "config.h"

#include "keyd/rules.h"
#include "keyd/seen.h"
#include "t/unit/lib/keydrules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
test_rules_services(void **state)
{
	static const char *const bad[] = { ",", "cifs,,host",
		"a-name-longer-than-any-service-has" };
	char bad_why[KEYD_WHY], many[80] = "a";
	struct nokey why;
	struct rules r;

	(void)state;
	rules_begin(&r, "cifs,host");
	assert_int_equal(rules_service(&r, "CIFS/nas@LAB", &why), 0);
	assert_int_equal(rules_service(&r, "host/nas@LAB", &why), 0);
	assert_int_equal(rules_service(&r, "cifs@LAB", &why), 0);
	assert_int_equal(rules_service(&r, "cif/nas@LAB", &why), -1);
	assert_int_equal(rules_service(&r, "cifsx/nas@LAB", &why), -1);
	assert_int_equal(rules_service(&r, "/cifs@LAB", &why), -1);
	assert_int_equal(rules_service(&r, "", &why), -1);
	assert_int_equal(rules_service(&r, "ldap/cifs@LAB", &why), -1);
	assert_non_null(strstr(why.text, "ldap/cifs@LAB"));
	assert_int_equal(why.cause, NOKEY_no_key_for_ticket);
	assert_int_equal(r.count[KEYD_OTHER_SERVICE], 5);
	rules_fini(&r);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(rules_init(&r, bad[i], bad_why), -1);
	for (int i = 0; i < RULES_SERVICES_MAX; i++)
		strcat(many, ",a");
	assert_int_equal(rules_init(&r, many, bad_why), -1);
}

static void
test_rules_fresh(void **state)
{
	const int64_t day = 24 * 3600;
	struct nokey why;
	struct rules r;

	(void)state;
	rules_begin(&r, "cifs");
	now_s = 2000000000;
	assert_int_equal(rules_fresh(&r, now_s - day, "a@B", &why), 0);
	assert_int_equal(rules_fresh(&r, now_s + day, "a@B", &why), 0);
	assert_int_equal(rules_fresh(&r, now_s - day - 1, "a@B", &why), -1);
	assert_non_null(strstr(why.text, "24 hours old"));
	assert_int_equal(rules_fresh(&r, now_s + day + 1, "a@B", &why), -1);
	assert_non_null(strstr(why.text, "24 hours ahead"));
	assert_int_equal(rules_fresh(&r, 0, "a@B", &why), -1);
	assert_int_equal(r.count[KEYD_OLD], 3);
	assert_int_equal(rules_once(&r, 7, "a@B", &why), 0);
	assert_int_equal(rules_unseen(&r, 8, "a@B", &why), 0);
	assert_int_equal(rules_unseen(&r, 8, "a@B", &why), 0);
	assert_int_equal(rules_once(&r, 7, "a@B", &why), -1);
	assert_int_equal(rules_unseen(&r, 7, "a@B", &why), -1);
	assert_int_equal(r.count[KEYD_AGAIN], 2);
	rules_fini(&r);
}

static uint64_t
nth_digest(const struct seen *s, uint64_t n)
{
	return seen_digest(s, &n, sizeof(n), "x", 1);
}

/* Crowds: all of a day are known, as long as they are not more than it has room for. */
static void
test_seen(void **state)
{
	const uint64_t n = SEEN_MAX + 1000;
	struct seen s = { .since_s = 0 };

	(void)state;
	assert_false(seen_has(&s, 1));
	assert_int_equal(seen_add(&s, nth_digest(&s, 0), 100), 0);
	for (uint64_t i = 1; i < 3000; i++)
		assert_int_equal(seen_add(&s, nth_digest(&s, i), 100 + i), 0);
	for (uint64_t i = 0; i < 3000; i++)
		assert_true(seen_has(&s, nth_digest(&s, i)));
	assert_false(seen_has(&s, nth_digest(&s, 3000)));
	assert_int_equal(s.young.n, 3000);
	assert_int_equal(seen_add(&s, nth_digest(&s, 5), 4000), 0);
	assert_int_equal(s.young.n, 3000);
	/* A day later they are the old ones, and two days later they are gone. */
	assert_int_equal(seen_add(&s, nth_digest(&s, 3000), 100 + SEEN_S), 0);
	assert_true(seen_has(&s, nth_digest(&s, 0)) && seen_has(&s, nth_digest(&s, 3000)));
	assert_int_equal(s.young.n, 1);
	assert_int_equal(seen_add(&s, nth_digest(&s, 3001), 100 + 2 * SEEN_S), 0);
	assert_false(seen_has(&s, nth_digest(&s, 0)));
	assert_true(seen_has(&s, nth_digest(&s, 3000)));
	seen_fini(&s);
	/* More than there is room for: the newest are known. */
	for (uint64_t i = 0; i < n; i++)
		if (seen_add(&s, nth_digest(&s, i), 1) == -1)
			fail_msg("digest %ju was not added", (uintmax_t)i);
	for (uint64_t i = n - SEEN_MAX; i < n; i++)
		if (!seen_has(&s, nth_digest(&s, i)))
			fail_msg("digest %ju is lost", (uintmax_t)i);
	seen_fini(&s);
	assert_false(seen_has(&s, nth_digest(&s, n - 1)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_services),
		cmocka_unit_test(test_rules_fresh),
		cmocka_unit_test(test_seen),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
