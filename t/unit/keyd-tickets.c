/* keyd-tickets.c: unit tests of what Kerberos sends: AP-REQs, Authenticators and tickets, opened */
#include "config.h"

#include "keyd/apreq.h"
#include "keyd/authent.h"
#include "t/unit/lib/keydmade.h"
#include "t/unit/lib/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
test_apreq(void **state)
{
	uint8_t b[512];
	size_t n = make_ap_req(b);
	struct apreq a;

	(void)state;
	assert_int_equal(apreq_get(&a, b, n), 0);
	assert_int_equal(a.enctype, 18);
	assert_true(a.has_kvno && a.kvno == 70000u && a.mutual);
	assert_true(a.ticket.enctype == 18 && a.ticket.n == 3);
	assert_true(a.authenticator.enctype == 18 && a.authenticator.n == 3);
	assert_int_equal(a.authenticator.p[0], 9);
	assert_string_equal(a.server, "cifs/n1@LAB");
	for (size_t k = 0; k < n; k++) {
		uint8_t *cut = exact(b, k);

		assert_int_equal(apreq_get(&a, cut, k), -1);
		free(cut);
	}
	for (size_t i = 0; i < 8 * n; i++) {
		uint8_t *flip = exact(b, n);

		flip[i / 8] ^= (uint8_t)(1 << i % 8);
		(void)!apreq_get(&a, flip, n);
		assert_true(strlen(a.server) < sizeof(a.server));
		free(flip);
	}
}

/* An Authenticator with a checksum of GSS-API and a subkey; the time as it is given. */
static size_t
make_authenticator(uint8_t dst[512], const char *when)
{
	static const uint8_t realm[] = { 0x1b, 3, 'L', 'A', 'B' };
	static const uint8_t name[] = { 0x30, 12, 0xa0, 3, 2, 1, 1, 0xa1, 5, 0x30, 3, 0x1b, 1,
		'a' };
	uint8_t gss[24] = { 0x10, [20] = 0x22 }, time[400], in[300], part[100];
	size_t n = 0, k;

	n += der_int(in + n, 0xa0, 5);
	n += der(in + n, 0xa1, realm, sizeof(realm));
	n += der(in + n, 0xa2, name, sizeof(name));
	k = der_int(part, 0xa0, 0x8003);
	gss[4] = 0;
	k += der(part + k, 0xa1, time, der(time, 0x04, gss, sizeof(gss)));
	k = der(part, 0x30, part, k);
	n += der(in + n, 0xa3, part, k);
	n += der_int(in + n, 0xa4, 123456);
	k = der(time, 0x18, (const uint8_t *)when, strlen(when));
	n += der(in + n, 0xa5, time, k);
	k = der_int(part, 0xa0, 18);
	k += der(part + k, 0xa1, time, der(time, 0x04, some_key, 32));
	k = der(part, 0x30, part, k);
	n += der(in + n, 0xa6, part, k);
	n = der(in, 0x30, in, n);
	return der(dst, 0x62, in, n);
}

static void
test_authent(void **state)
{
	static const char *const bad[] = { "2026112900300Z", "20261129003000", "20261329003000Z",
		"20261129243000Z", "2026112900300aZ", "00001129003000Z", "-0261129003000Z" };
	static const struct {
		const char *text;
		int64_t s;
	} good[] = {
		{ "19700101000000Z", 0 },
		{ "20000229235959Z", 951868799 },
		{ "20261129003000Z", 1795912200 },
		{ "20380119031408Z", 2147483648 },
		{ "19010101000000Z", -2177452800 },
	};
	uint8_t b[512];
	struct authent a;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		n = make_authenticator(b, good[i].text);
		assert_int_equal(authent_get(&a, b, n), 0);
		assert_true(a.ctime == good[i].s);
		assert_int_equal(a.cusec, 123456);
		assert_true(a.has_flags && a.flags == 0x22 && a.subkey_len == 32);
		assert_memory_equal(a.subkey, some_key, 32);
	}
	for (size_t k = 0; k < n; k++) {
		uint8_t *cut = exact(b, k);

		assert_int_equal(authent_get(&a, cut, k), -1);
		free(cut);
	}
	for (size_t i = 0; i < 8 * n; i++) {
		uint8_t *flip = exact(b, n);

		flip[i / 8] ^= (uint8_t)(1 << i % 8);
		if (authent_get(&a, flip, n) == 0 && a.subkey != NULL)
			assert_true(a.subkey + a.subkey_len <= flip + n);
		free(flip);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(authent_get(&a, b, make_authenticator(b, bad[i])), -1);
	assert_int_equal(authent_reply_get(&a, b, n), -1);
}

/* A ticket's encrypted part: who logs on, and by which key; what follows is not looked at. */
static void
test_authent_ticket(void **state)
{
	static const uint8_t flags[] = { 0x03, 5, 0, 0x40, 0, 0, 0 }, realm[] = { 0x1b, 1, 'R' };
	static const uint8_t name[] = { 0x30, 18, 0xa0, 3, 2, 1, 1, 0xa1, 11, 0x30, 9, 0x1b, 1, 'a',
		0x1b, 4, 'h', 'o', 's', 't' };
	uint8_t b[512], in[300], part[100], key[40];
	size_t n = 0, k;
	struct authent_ticket t;

	(void)state;
	k = der_int(part, 0xa0, 18);
	k += der(part + k, 0xa1, key, der(key, 0x04, some_key, 32));
	k = der(part, 0x30, part, k);
	n += der(in + n, 0xa0, flags, sizeof(flags));
	n += der(in + n, 0xa1, part, k);
	n += der(in + n, 0xa2, realm, sizeof(realm));
	n += der(in + n, 0xa3, name, sizeof(name));
	n = der(in, 0x30, in, n);
	n = der(b, 0x63, in, n);
	assert_int_equal(authent_ticket_get(&t, b, n), 0);
	assert_true(t.enctype == 18 && t.key_len == 32 && t.realm.n == 1 && t.ncomponents == 2);
	assert_memory_equal(t.key, some_key, 32);
	assert_memory_equal(t.component[1].p, "host", 4);
	for (k = 0; k < n; k++) {
		uint8_t *cut = exact(b, k);

		assert_int_equal(authent_ticket_get(&t, cut, k), -1);
		free(cut);
	}
	for (size_t i = 0; i < 8 * n; i++) {
		uint8_t *flip = exact(b, n);

		flip[i / 8] ^= (uint8_t)(1 << i % 8);
		if (authent_ticket_get(&t, flip, n) == 0)
			assert_true(t.key + t.key_len <= flip + n && t.ncomponents <= 8);
		free(flip);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apreq),
		cmocka_unit_test(test_authent),
		cmocka_unit_test(test_authent_ticket),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
