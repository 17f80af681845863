/* inspect-filter.c: what is wanted of clients, connections and sessions, against every row */
#include "config.h"

#include "inspect/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct filter
parsed(struct filter_words w)
{
	const char *why = NULL;
	struct filter f;

	if (filter_parse(&f, &w, &why) == -1)
		fail_msg("%s", why);
	assert_null(why);
	return f;
}

static bool
ends_are(const struct filter *f, const char *client, const char *listener)
{
	struct addrport a;

	assert_int_equal(addrport_parse(&a, client, 0), 0);
	return filter_ends(f, &a, NULL, listener);
}

static void
test_nothing_asked(void **state)
{
	struct filter f = parsed((struct filter_words){ .node = NULL });

	(void)state;
	assert_true(filter_node(&f, "n1") && filter_node(&f, "") && filter_node(&f, NULL));
	assert_true(ends_are(&f, "10.0.0.1:2", NULL) && ends_are(&f, "[fd00::1]:2", "lan"));
	assert_true(filter_life(&f, true) && filter_life(&f, false));
	assert_false(filter_has_ends(&f) || filter_has_session(&f));
	for (int p = 0; p < SESSION_PROTECTIONS; p++)
		assert_true(filter_session(&f, NULL, (enum session_protection)p));
}

static void
test_ends(void **state)
{
	struct filter f = parsed((struct filter_words){ .client = "10.0.0.0/8", .listener = "lan",
		.node = "n1" });
	struct guid g = { { 1 } };
	struct addrport a = { .port = 0 };

	(void)state;
	assert_true(filter_has_ends(&f) && !filter_has_session(&f));
	assert_true(ends_are(&f, "10.255.0.1:445", "lan"));
	assert_false(ends_are(&f, "11.0.0.1:445", "lan"));
	assert_false(ends_are(&f, "10.255.0.1:445", "lan2"));
	assert_false(ends_are(&f, "10.255.0.1:445", NULL));
	assert_true(filter_node(&f, "n1"));
	assert_false(filter_node(&f, "n10") || filter_node(&f, "") || filter_node(&f, NULL));
	f = parsed((struct filter_words){ .client = "[fd00::7]:50122" });
	assert_true(ends_are(&f, "[fd00::7]:50122", NULL));
	assert_false(ends_are(&f, "[fd00::7]:50123", NULL));
	f = parsed((struct filter_words){ .client = "00000001-0000-0000-0000-000000000000" });
	assert_true(filter_ends(&f, &a, &g, NULL));
	assert_false(filter_ends(&f, &a, NULL, NULL));
	g.b[0] = 2;
	assert_false(filter_ends(&f, &a, &g, NULL));
}

static void
test_sessions(void **state)
{
	struct filter f = parsed((struct filter_words){ .user = "Anna", .protection = "opaque" });

	(void)state;
	assert_true(filter_has_session(&f) && !filter_has_ends(&f));
	assert_true(filter_session(&f, "anna@EXAMPLE.COM", SESSION_OPAQUE));
	assert_true(filter_session(&f, "CORP\\ANNA", SESSION_OPAQUE));
	assert_false(filter_session(&f, "anna@EXAMPLE.COM", SESSION_KEYED));
	assert_false(filter_session(&f, "hanna", SESSION_OPAQUE));
	assert_false(filter_session(&f, "", SESSION_OPAQUE));
	assert_false(filter_session(&f, NULL, SESSION_OPAQUE));
	/* Whatever a name looks like. */
	f = parsed((struct filter_words){ .user = "10.0.0.1" });
	assert_true(filter_session(&f, "CORP\\10.0.0.1", SESSION_KEYED));
	f = parsed((struct filter_words){ .user = "abe" });
	assert_true(filter_session(&f, "abe", SESSION_KEYED));
	f = parsed((struct filter_words){ .protection = "keyed" });
	assert_true(filter_session(&f, NULL, SESSION_KEYED));
	f = parsed((struct filter_words){ .lingering = true });
	assert_true(filter_life(&f, true) && !filter_life(&f, false));
	f = parsed((struct filter_words){ .live = true });
	assert_true(filter_life(&f, false) && !filter_life(&f, true));
}

static void
test_wrong(void **state)
{
	char longer[300];
	const struct filter_words wrong[] = {
		{ .node = "" }, { .node = longer }, { .listener = "" }, { .listener = longer },
		{ .user = "" }, { .user = longer }, { .client = "" }, { .client = "anna" },
		{ .client = "0x1" }, { .client = "conn:1" }, { .client = "10.0.0.1/33" },
		{ .client = longer }, { .protection = "" }, { .protection = "Keyed" },
		{ .live = true, .lingering = true },
	};

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *why = NULL;
		struct filter f;

		assert_int_equal(filter_parse(&f, &wrong[i], &why), -1);
		assert_non_null(why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_asked),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_wrong),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
