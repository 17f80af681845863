/* inspect-who.c: how people name clients, connections, sessions and users */
#include "config.h"

#include "inspect/who.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GUID "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

static struct who
parsed(const char *text)
{
	const char *why = NULL;
	struct who w;

	if (who_parse(&w, text, &why) == -1)
		fail_msg("%s: %s", text, why);
	assert_string_equal(w.text, text);
	return w;
}

static struct addrport
end_of(const char *text)
{
	struct addrport a;

	assert_int_equal(addrport_parse(&a, text, 1), 0);
	return a;
}

/* Someone at 10.1.0.7:50122 or [fd00::7]:50122, and who is meant by what is said. */
static void
test_good(void **state)
{
	static const struct {
		const char *text;
		enum who_kind kind;
		bool v4, v6;
		uint64_t number;
	} rows[] = {
		{ "conn:12", WHO_CONN, false, false, 12 },
		{ "conn:18446744073709551615", WHO_CONN, false, false, UINT64_MAX },
		{ "10.1.0.7", WHO_PREFIX, true, false, 0 },
		{ "10.1.0.8", WHO_PREFIX, false, false, 0 },
		{ "10.1.0.7/32", WHO_PREFIX, true, false, 0 },
		{ "10.1.0.0/24", WHO_PREFIX, true, false, 0 },
		{ "10.1.1.0/24", WHO_PREFIX, false, false, 0 },
		{ "0.0.0.0/0", WHO_PREFIX, true, false, 0 },
		{ "::/0", WHO_PREFIX, false, true, 0 },
		{ "::ffff:10.1.0.7", WHO_PREFIX, true, false, 0 },
		{ "fd00::7", WHO_PREFIX, false, true, 0 },
		{ "FD00:0:0:0:0:0:0:7", WHO_PREFIX, false, true, 0 },
		{ "fd00::/64", WHO_PREFIX, false, true, 0 },
		{ "10.1.0.7:50122", WHO_END, true, false, 0 },
		{ "10.1.0.7:50123", WHO_END, false, false, 0 },
		{ "[fd00::7]:50122", WHO_END, false, true, 0 },
		{ "[::ffff:10.1.0.7]:50122", WHO_END, true, false, 0 },
		{ "[fd00::7]:1", WHO_END, false, false, 0 },
		{ GUID, WHO_GUID, true, true, 0 },
		{ "0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9", WHO_GUID, true, true, 0 },
		{ "00000000-0000-0000-0000-000000000000", WHO_GUID, false, false, 0 },
		{ "0x1f", WHO_SESSION, false, false, 0x1f },
		{ "0X1F", WHO_SESSION, false, false, 0x1f },
		{ "1f", WHO_SESSION, false, false, 0x1f },
		{ "12", WHO_SESSION, false, false, 0x12 },
		{ "0x000000000000001f", WHO_SESSION, false, false, 0x1f },
		{ "000000000000001f", WHO_SESSION, false, false, 0x1f },
		{ "0000000000000000000000001f", WHO_SESSION, false, false, 0x1f },
		{ "ffffffffffffffff", WHO_SESSION, false, false, UINT64_MAX },
		{ "anna", WHO_NAME, false, false, 0 },
		{ "anna@EXAMPLE.COM", WHO_NAME, false, false, 0 },
		{ "CORP\\anna", WHO_NAME, false, false, 0 },
		{ "cifs/host.example.com@EXAMPLE.COM", WHO_NAME, false, false, 0 },
		{ "WS1$", WHO_NAME, false, false, 0 },
		{ "0xen", WHO_NAME, false, false, 0 },
		{ "ffffffffffffffff0", WHO_NAME, false, false, 0 },
		{ "10.1.0", WHO_NAME, false, false, 0 },
		{ "j\xc3\xb6rg", WHO_NAME, false, false, 0 },
		{ "two words", WHO_NAME, false, false, 0 },
	};
	const struct addrport v4 = end_of("10.1.0.7:50122"), v6 = end_of("[fd00::7]:50122");
	const struct guid guid = { { 0x3d, 0x2c, 0x1b, 0x0a, 0x5f, 0x4e, 0x71, 0x60, 0x82, 0x93,
		0xa4, 0xb5, 0xc6, 0xd7, 0xe8, 0xf9 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct who w = parsed(rows[i].text);

		if (w.kind != rows[i].kind || w.number != (w.kind == WHO_NAME ? w.number
		                                                             : rows[i].number) ||
		    who_is_client(&w, &v4, &guid) != rows[i].v4 ||
		    who_is_client(&w, &v6, &guid) != rows[i].v6)
			fail_msg("%s: kind %d, number %" PRIu64, rows[i].text, w.kind, w.number);
		assert_false(w.kind == WHO_GUID && who_is_client(&w, &v4, NULL));
		assert_int_equal(who_is_conn(&w, rows[i].number), w.kind == WHO_CONN);
		assert_int_equal(who_is_session(&w, rows[i].number), w.kind == WHO_SESSION);
		assert_int_equal(who_is_one(&w), w.kind == WHO_CONN || w.kind == WHO_END);
		assert_false(who_is_conn(&w, rows[i].number + 1));
		assert_false(who_is_session(&w, rows[i].number + 1));
	}
}

static void
test_bad(void **state)
{
	static const char *const rows[] = {
		NULL, "", "conn:", "conn:x", "conn:-1", "conn: 1", "conn:1 ", "conn:0x1",
		"conn:18446744073709551616", "con:1", "10.1.0.7/8", "10.1.0.7/33", "10.1.0.0/",
		"10.1.0.0/-1", "fd00::7/64", "fd00::/129", "10.1.0.7:", "10.1.0.7:0",
		"10.1.0.7:65536", "10.1.0.7:x", "[fd00::7]", "[fd00::7]:", "[fd00::7]:0",
		"fe80::1%eth0", "fd00:::7", "[10.1.0.7]:445", "0x10000000000000000", "an\nna",
		"anna\x7f", (GUID ":1"),
	};
	char longest[WHO_TEXT + 1];
	const char *why;
	struct who w;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why = NULL;
		if (who_parse(&w, rows[i], &why) == 0)
			fail_msg("%s is read as kind %d", rows[i], w.kind);
		assert_non_null(why);
	}
	memset(longest, 'x', WHO_TEXT);
	longest[WHO_TEXT] = '\0';
	assert_int_equal(who_parse(&w, longest, &why), -1);
	longest[WHO_TEXT - 1] = '\0';
	assert_int_equal(parsed(longest).kind, WHO_NAME);
}

static void
test_users(void **state)
{
	static const struct {
		const char *said, *user;
		bool whole, like;
	} rows[] = {
		{ "anna", "anna@EXAMPLE.COM", true, true },
		{ "ANNA", "anna@EXAMPLE.COM", true, true },
		{ "anna@example.com", "anna@EXAMPLE.COM", true, true },
		{ "anna@EXAMPLE", "anna@EXAMPLE.COM", false, true },
		{ "ann", "anna@EXAMPLE.COM", false, true },
		{ "EXAMPLE.COM", "anna@EXAMPLE.COM", false, true },
		{ "anna@OTHER", "anna@EXAMPLE.COM", false, false },
		{ "joanna", "anna@EXAMPLE.COM", false, false },
		{ "anna", "CORP\\anna", true, true },
		{ "corp\\ANNA", "CORP\\anna", true, true },
		{ "OTHER\\anna", "CORP\\anna", false, false },
		{ "CORP", "CORP\\anna", false, true },
		{ "anna", "anna", true, true },
		{ "anna", "CORP\\anna@EXAMPLE.COM", false, true },
		{ "anna@EXAMPLE.COM", "CORP\\anna@EXAMPLE.COM", true, true },
		{ "anna\\@mail.example", "anna\\@mail.example@EXAMPLE.COM", true, true },
		{ "anna", "", false, false },
		{ "anna", NULL, false, false },
		{ "anna", "@EXAMPLE.COM", false, false },
		/* Hexadecimal, and somebody's name. */
		{ "abe", "abe@EXAMPLE.COM", true, true },
		{ "ab", "abe@EXAMPLE.COM", false, true },
		{ "0xabe", "abe@EXAMPLE.COM", false, false },
		{ "0xabe", "0xabe@EXAMPLE.COM", false, false },
		{ "10.1.0.7", "10.1.0.7@EXAMPLE.COM", false, false },
		{ "conn:1", "conn:1", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct who w = parsed(rows[i].said);

		if (who_is_user(&w, rows[i].user) != rows[i].whole ||
		    who_is_like_user(&w, rows[i].user) != rows[i].like)
			fail_msg("%s, %s", rows[i].said, rows[i].user);
		assert_int_equal(who_has_logged_on(&w),
		    w.kind == WHO_NAME || w.kind == WHO_SESSION);
	}
}

static uint64_t
next_random(uint64_t *x)
{
	/* xorshift64: the same numbers each time. */
	*x ^= *x << 13;
	*x ^= *x >> 7;
	return *x ^= *x << 17;
}

static void
fill(uint64_t *x, void *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)dst)[i] = (uint8_t)(next_random(x) >> 16);
}

/* What smbgate prints is read, and means what it was printed for. */
static void
test_printed(void **state)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	uint64_t x = 0x5eed;
	char text[ADDR_STRLEN];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct addrport a;
		struct guid g;
		struct prefix p;
		struct who w;
		uint64_t id = next_random(&x) >> (next_random(&x) & 63);

		fill(&x, &a, sizeof(a));
		fill(&x, &g, sizeof(g));
		if ((i & 1) != 0)
			memcpy(a.addr.b, mapped, sizeof(mapped));
		a.port |= 1;
		w = parsed(addr_str(&a.addr, text));
		assert_true(w.kind == WHO_PREFIX && who_is_client(&w, &a, NULL));
		p = prefix_host(&a.addr);
		w = parsed(prefix_str(&p, text));
		assert_true(prefix_equal(&w.prefix, &p));
		w = parsed(addrport_str(&a, text));
		assert_true(w.kind == WHO_END && who_is_client(&w, &a, NULL));
		a.port ^= 2;
		assert_false(who_is_client(&w, &a, NULL));
		w = parsed(guid_str(&g, text));
		assert_true(w.kind == WHO_GUID && who_is_client(&w, &a, &g));
		g.b[i % 16] ^= 1;
		assert_false(who_is_client(&w, &a, &g));
		snprintf(text, sizeof(text), "0x%016" PRIx64, id);
		w = parsed(text);
		assert_true(who_is_session(&w, id) && !w.bare);
		snprintf(text, sizeof(text), "%" PRIx64, id);
		w = parsed(text);
		assert_true(who_is_session(&w, id) && w.bare);
		snprintf(text, sizeof(text), "conn:%" PRIu64, id);
		w = parsed(text);
		assert_true(who_is_conn(&w, id));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_printed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
