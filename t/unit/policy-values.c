/* policy-values.c: unit tests of what policy.conf is made of: addresses, values, paths, names */
#include "config.h"

#include "policy/acl.h"
#include "policy/addrwords.h"
#include "policy/conffile.h"
#include "policy/setting.h"
#include "policy/units.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Rules for addresses. */

struct acl_case {
	const char *rules;	/* "+prefix" allows, "-prefix" denies, in this order */
	const char *addr;
	bool allowed;
};

static const struct acl_case acl_cases[] = {
	{ "", "10.0.0.1", true },
	{ "", "fd00::1", true },
	{ "-10.0.0.1", "10.0.0.1", false },
	{ "-10.0.0.1", "10.0.0.2", true },
	{ "+10.0.0.0/24", "10.0.0.1", true },
	{ "+10.0.0.0/24", "10.0.1.1", false },
	{ "+10.0.0.0/24", "fd00::1", false },
	/* The longer prefix decides, wherever it stands. */
	{ "+10.0.0.0/8 -10.1.0.0/16", "10.1.0.1", false },
	{ "-10.1.0.0/16 +10.0.0.0/8", "10.1.0.1", false },
	{ "+10.0.0.0/8 -10.1.0.0/16", "10.2.0.1", true },
	{ "-10.0.0.0/8 +10.1.0.0/16", "10.1.0.1", true },
	{ "+10.1.0.0/16 -10.0.0.0/8", "10.1.0.1", true },
	{ "+10.0.0.0/8 -10.1.0.0/16 +10.1.2.0/24 -10.1.2.3", "10.1.2.3", false },
	{ "+10.0.0.0/8 -10.1.0.0/16 +10.1.2.0/24 -10.1.2.3", "10.1.2.4", true },
	{ "-10.1.2.3 +10.1.2.0/24 -10.1.0.0/16 +10.0.0.0/8", "10.1.2.4", true },
	{ "-10.1.2.3 +10.1.2.0/24 -10.1.0.0/16 +10.0.0.0/8", "10.1.3.4", false },
	/* A tie is denied, in both orders. */
	{ "+10.0.0.1 -10.0.0.1", "10.0.0.1", false },
	{ "-10.0.0.1 +10.0.0.1", "10.0.0.1", false },
	{ "-10.0.0.0/24 +10.0.0.0/24", "10.0.0.9", false },
	{ "+10.0.0.1 -10.0.0.1 +10.0.0.1", "10.0.0.1", false },
	/* No allow rule that matches: only with no allow rule at all it is allowed. */
	{ "-10.0.0.0/8", "11.0.0.1", true },
	{ "-10.0.0.0/8 +12.0.0.0/8", "11.0.0.1", false },
	/* IPv6, and IPv4 in its clothes. */
	{ "+fd00:1::/64", "fd00:1::9", true },
	{ "+fd00:1::/64", "fd00:1:0:1::9", false },
	{ "+fd00:1::/64 -fd00:1::9", "fd00:1::9", false },
	{ "+::/0 -fd00::/8", "fd00::1", false },
	{ "+::/0 -fd00::/8", "2001:db8::1", true },
	{ "-10.0.0.1", "::ffff:10.0.0.1", false },
	{ "-::ffff:10.0.0.1", "10.0.0.1", false },
	{ "-::ffff:10.0.0.0/104", "10.200.0.1", false },
	{ "+0.0.0.0/0", "10.0.0.1", true },
	{ "+0.0.0.0/0", "fd00::1", false },
	{ "+::/0", "10.0.0.1", false },
	{ "-::/0", "10.0.0.1", true },
	{ "+::/0 +0.0.0.0/0", "10.0.0.1", true },
	{ "+10.0.0.0/31 -10.0.0.0/32", "10.0.0.1", true },
	{ "+10.0.0.128/25", "10.0.0.127", false },
	{ "+10.0.0.128/25", "10.0.0.128", true },
};

static void
test_acl(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(acl_cases); i++) {
		const struct acl_case *c = &acl_cases[i];
		char *rules = strdup(c->rules), *rest = rules, *word;
		struct acl a = { .n = 0 };
		struct addr addr;

		while ((word = strsep(&rest, " ")) != NULL && *word != '\0') {
			struct prefix p;

			assert_int_equal(prefix_parse(&p, word + 1), 0);
			assert_int_equal(acl_add(&a, &p, *word == '-'), 0);
		}
		assert_int_equal(addr_parse(&addr, c->addr), 0);
		if (acl_allows(&a, &addr) != c->allowed)
			fail_msg("\"%s\" and %s", c->rules, c->addr);
		acl_fini(&a);
		assert_int_equal(a.n, 0);
		free(rules);
	}
}

static void
test_acl_full(void **state)
{
	struct acl a = { .n = 0 };
	struct prefix p;

	(void)state;
	assert_int_equal(prefix_parse(&p, "10.0.0.1"), 0);
	for (int i = 0; i < ACL_RULES_MAX; i++)
		assert_int_equal(acl_add(&a, &p, true), 0);
	assert_int_equal(acl_add(&a, &p, true), -1);
	assert_int_equal(a.n, ACL_RULES_MAX);
	acl_fini(&a);
}

/* Values. */

#define NONE (UINT64_MAX - 1)

static const struct {
	const char *text;
	uint64_t ms, bps;	/* NONE: not of that kind */
} values[] = {
	{ "0", 0, 0 },
	{ "00", 0, 0 },
	{ "0s", 0, NONE },
	{ "0h", 0, NONE },
	{ "1ms", 1, NONE },
	{ "500ms", 500, NONE },
	{ "2s", 2000, NONE },
	{ "15m", 900000, NONE },
	{ "1h", 3600000, NONE },
	{ "1d", 86400000, NONE },
	{ "30", NONE, 30 },
	{ "1000000000", NONE, 1000000000 },
	{ "25G", NONE, 25000000000 },
	{ "2.5G", NONE, 2500000000 },
	{ "2.5K", NONE, 2500 },
	{ "100M", NONE, 100000000 },
	{ "1T", NONE, 1000000000000 },
	{ "007s", 7000, NONE },
	{ "", NONE, NONE },
	{ "s", NONE, NONE },
	{ "G", NONE, NONE },
	{ ".5G", NONE, NONE },
	{ "2.", NONE, NONE },
	{ "2.5", NONE, NONE },
	{ "2.55G", NONE, NONE },
	{ "2.5s", NONE, NONE },
	{ "-1s", NONE, NONE },
	{ "+1s", NONE, NONE },
	{ " 1s", NONE, NONE },
	{ "1s ", NONE, NONE },
	{ "1 s", NONE, NONE },
	{ "1S", NONE, NONE },
	{ "1sec", NONE, NONE },
	{ "1g", NONE, NONE },
	{ "1GB", NONE, NONE },
	{ "1h30m", NONE, NONE },
	{ "0x10", NONE, NONE },
	{ "1e3", NONE, NONE },
	{ "18446744073709551615ms", UINT64_MAX, NONE },
	{ "18446744073709551616ms", UINT64_MAX, NONE },
	{ "99999999999999999999999h", UINT64_MAX, NONE },
	{ "18446744073709551615", NONE, UINT64_MAX },
	{ "99999999999999999999999.9G", NONE, UINT64_MAX },
	{ "99999999999G", NONE, UINT64_MAX },
};

static void
test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		char *text = strdup(values[i].text);
		uint64_t v = NONE;

		if (units_duration(&v, text) == -1)
			v = NONE;
		if (v != values[i].ms)
			fail_msg("\"%s\" as a time", text);
		v = NONE;
		if (units_speed(&v, text) == -1)
			v = NONE;
		if (v != values[i].bps)
			fail_msg("\"%s\" as a speed", text);
		free(text);
	}
}

static void
test_duration_str(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = { { 0, "0" }, { 1, "1ms" }, { 1500, "1500ms" }, { 2000, "2s" },
		{ 90000, "90s" }, { 900000, "15m" }, { 3600000, "1h" }, { 86400000, "24h" } };
	char text[UNITS_STRLEN];
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_string_equal(units_duration_str(cases[i].ms, text), cases[i].text);
		assert_int_equal(units_duration(&v, cases[i].text), 0);
		assert_true(v == cases[i].ms);
	}
}

static void
test_paths(void **state)
{
	static const struct {
		const char *file, *path, *joined;
	} cases[] = {
		{ "policy.conf", "x", "x" },
		{ "policy.conf", "/x", "/x" },
		{ "/etc/smbgate/policy.conf", "x", "/etc/smbgate/x" },
		{ "/etc/smbgate/policy.conf", "../x", "/etc/smbgate/../x" },
		{ "/etc/smbgate/policy.conf", "/x", "/x" },
		{ "/policy.conf", "x", "/x" },
		{ "a/b", "c/d", "a/c/d" },
	};
	char cwd[PATH_MAX], want[PATH_MAX + 8], *p;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		p = conffile_path(cases[i].file, cases[i].path);
		assert_string_equal(p, cases[i].joined);
		free(p);
	}
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(want, sizeof(want), "%s/x/y", cwd);
	p = conffile_absolute("x/y");
	assert_string_equal(p, want);
	free(p);
	p = conffile_absolute("/x/y");
	assert_string_equal(p, "/x/y");
	free(p);
}

static void
test_names(void **state)
{
	char name[66];

	(void)state;
	assert_true(setting_name("n1"));
	assert_true(setting_name("A.b_c-9"));
	assert_false(setting_name(""));
	assert_false(setting_name("a b"));
	assert_false(setting_name("a/b"));
	assert_false(setting_name("\xc3\xa4"));
	memset(name, 'x', sizeof(name));
	name[64] = '\0';
	assert_false(setting_name(name));
	name[63] = '\0';
	assert_true(setting_name(name));
}

/* "fd00::1:445" is an address, and a port was hardly meant to be a part of it. */
static void
test_brackets(void **state)
{
	static const struct {
		const char *text;
		bool lacks;
	} cases[] = {
		{ "fd00::1:445", true }, { "fd00:1:2:3:4::6:139", true },
		{ "fd00::2:11:9446", true }, { "[fd00::1:445]:445", false },
		{ "[fd00::1]:445", false }, { "fd00::445", false }, { "fd00::1:4450", false },
		{ "fd00:1:2:3:4:5:6:445", false }, { "10.2.0.11:445", false },
		{ "::ffff:10.2.0.11", false }, { ":445", false }, { "445", false }, { "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (addrwords_lacks_brackets(cases[i].text) != cases[i].lacks)
			fail_msg("%s", cases[i].text);
}

/* What people write in place of an address, and the words that they get. */
static void
test_addrwords(void **state)
{
	static const struct {
		enum addrwords_form form;
		const char *text, *part;
	} cases[] = {
		{ ADDRWORDS_ADDRPORT, "nas1.example.com", "a name; names are not looked up" },
		{ ADDRWORDS_ADDRPORT, "nas-1", "a name" },
		{ ADDRWORDS_ADDRPORT, "nas1:445", "a name" },
		{ ADDRWORDS_ADDRPORT, "eth0", "a name" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11:0", "\"0\" is not a port, which is 1 to 65535" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11:70000", "\"70000\" is not a port" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11:", "\"\" is not a port" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11:smb", "\"smb\" is not a port" },
		{ ADDRWORDS_ADDRPORT, "[fe80::1]:99999", "\"99999\" is not a port" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.011", "a leading zero" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.300:445", "300 is more than 255" },
		{ ADDRWORDS_ADDRPORT, "10.2.0", "four numbers, and not 3" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.1.1", "four numbers, and not 5" },
		{ ADDRWORDS_ADDRPORT, " 10.2.0.11", "a blank stands before or behind it" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11 ", "a blank stands before or behind it" },
		{ ADDRWORDS_ADDRPORT, "fe80::1%eth0", "zone id" },
		{ ADDRWORDS_ADDRPORT, "[fe80::1%eth0]:445", "zone id" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11/24", "a length (from / on) has no place here" },
		{ ADDRWORDS_ADDRPORT, "smb://10.2.0.11", "a URL" },
		{ ADDRWORDS_ADDRPORT, "redis://10.3.0.1:6379", "a URL" },
		{ ADDRWORDS_ADDRPORT, "\\\\10.2.0.11", "a UNC path" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11,10.2.0.12", "quotes of its own" },
		{ ADDRWORDS_ADDRPORT, "10.2.0.11 10.2.0.12", "quotes of its own" },
		{ ADDRWORDS_ADDRPORT, "*:445", "for all addresses write 0.0.0.0 or [::]" },
		{ ADDRWORDS_ADDRPORT, "*", "for all addresses write 0.0.0.0 or [::]" },
		{ ADDRWORDS_ADDRPORT, ":445", "for all addresses write 0.0.0.0 or [::]" },
		{ ADDRWORDS_ADDRPORT, "445", "a number alone" },
		{ ADDRWORDS_ADDRPORT, "[fd00::1:445", "the closing bracket is missing" },
		{ ADDRWORDS_ADDRPORT, "fd00::1]:445", "the opening bracket is missing" },
		{ ADDRWORDS_ADDRPORT, "[10.2.0.1]:445", "brackets are for IPv6 addresses only" },
		{ ADDRWORDS_ADDRPORT, "[fd00::1]445", "behind the bracket is no port" },
		{ ADDRWORDS_ADDRPORT, "::1::445", "one with a port needs brackets" },
		{ ADDRWORDS_ADDRPORT, "fd00:1:2:3:4:5:6:7:445", "one with a port needs brackets" },
		{ ADDRWORDS_ADDR, "10.2.0.11:445", "a port has no place here" },
		{ ADDRWORDS_ADDR, "[fd00::1]", "brackets have no place here" },
		{ ADDRWORDS_ADDR, "10.2.0.11/24", "a length (from / on) has no place here" },
		{ ADDRWORDS_ADDR, "nas1", "a name" },
		{ ADDRWORDS_PREFIX, "10.0.0.1/24", "for the network write \"10.0.0.0/24\", for" },
		{ ADDRWORDS_PREFIX, "fd00::1/64", "write \"fd00::/64\", for the address \"fd00::1\"" },
		{ ADDRWORDS_PREFIX, "::ffff:10.0.0.1/104", "write \"10.0.0.0/8\"" },
		{ ADDRWORDS_PREFIX, "10.0.0.0/33", "\"33\" is not a length, which is 0 to 32 here" },
		{ ADDRWORDS_PREFIX, "fd00::/129", "which is 0 to 128 here" },
		{ ADDRWORDS_PREFIX, "10.0.0.0/", "\"\" is not a length" },
		{ ADDRWORDS_PREFIX, "10.0.0.0/255.0.0.0", "a mask in dots" },
		{ ADDRWORDS_PREFIX, "10.0.0", "four numbers, and not 3" },
		{ ADDRWORDS_PREFIX, "10.0.0/8", "four numbers, and not 3" },
		{ ADDRWORDS_PREFIX, "lb.example", "a name" },
		{ ADDRWORDS_PREFIX, "10.0.0.1:445", "a port has no place here" },
		{ ADDRWORDS_ADDRPORT, "", NULL }, { ADDRWORDS_PREFIX, "", NULL },
		{ ADDRWORDS_ADDR, "", NULL }, { ADDRWORDS_ADDRPORT, "!", NULL },
	};
	char dst[256];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *why = addrwords(cases[i].form, cases[i].text, dst, sizeof(dst));

		if ((why == NULL) != (cases[i].part == NULL) ||
		    (why != NULL && strstr(why, cases[i].part) == NULL))
			fail_msg("%s: %s", cases[i].text, why == NULL ? "nothing" : why);
	}
	/* Cut anywhere, or with any byte changed: within the room that there is. */
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (size_t k = 0; k < strlen(cases[i].text); k++) {
			char *cut = strndup(cases[i].text, k), *other = strdup(cases[i].text);
			char *small = malloc(8);

			addrwords(cases[i].form, cut, dst, sizeof(dst));
			for (int c = 1; c < 256; c += 3) {
				other[k] = (char)c;
				(void)addrwords((enum addrwords_form)(c % 3), other, small, 8);
			}
			free(cut);
			free(other);
			free(small);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acl),
		cmocka_unit_test(test_acl_full),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_duration_str),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_brackets),
		cmocka_unit_test(test_addrwords),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
