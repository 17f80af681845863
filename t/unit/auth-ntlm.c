/* auth-ntlm.c: unit tests of reading NTLM's messages: fields and where they are, whose they are */
#include "config.h"

#include "auth/ntlm.h"
#include "auth/spnego.h"
#include "t/unit/lib/blob.h"
#include "t/unit/lib/vectors.h"
#include "t/unit/lib/walkauth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
utf16(const uint8_t *p, size_t n, const char *text)
{
	assert_int_equal(n, 2 * strlen(text));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(p[i], i % 2 == 0 ? (uint8_t)text[i / 2] : 0);
}

static void
hex_equal(const uint8_t *p, const char *hex)
{
	size_t n;
	uint8_t *want = unhex(hex, &n);

	assert_memory_equal(p, want, n);
	free(want);
}

static void
ntlm_published(void **state)
{
	static const struct {
		const char *challenge_in, *challenge, *in, *proof, *key;
	} logons[] = {
		{ "ms-311-setup-resp-1", "0d1d8ba31179d008", "ms-311-setup-req-2",
			"63078eb639fe03e20a231c3ae3bf2308", "3b9bdff38f5ee8f9663f11a0f4c03a78" },
		{ "ms-311-bind-resp-1", "3823da68e32d2fe1", "ms-311-bind-req-2",
			"a46794da5d2033965d5339e1a675b79b", "c8c61d67ce697693891336917655ddd3" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(logons); i++) {
		size_t n;
		uint8_t *p = buffer_of(logons[i].challenge_in, &n);
		struct token t = walk_token(p, n);
		struct ntlm_auth a;

		assert_int_equal(t.kind, TOKEN_NTLM_CHALLENGE);
		hex_equal(t.p + 24, logons[i].challenge);
		assert_int_equal(ntlm_auth_get(&a, t.p, t.len), -1);
		free(p);
		p = buffer_of(logons[i].in, &n);
		t = walk_token(p, n);
		assert_int_equal(t.kind, TOKEN_NTLM_AUTHENTICATE);
		assert_int_equal(ntlm_auth_get(&a, t.p, t.len), 0);
		assert_int_equal(a.nt_len, 0xee);
		hex_equal(a.nt, logons[i].proof);
		assert_int_equal(a.lm_len, 24);
		utf16(a.domain, a.domain_len, "SUT311");
		utf16(a.user, a.user_len, "administrator");
		assert_int_equal(a.session_key_len, 16);
		hex_equal(a.session_key, logons[i].key);
		assert_int_equal(a.flags, 0xe2888215);
		assert_true(a.unicode);
		assert_int_equal(a.flags & NTLMSSP_NEGOTIATE_KEY_EXCH, NTLMSSP_NEGOTIATE_KEY_EXCH);
		assert_false(ntlm_anonymous(&a));
		free(p);
	}
}

#define NTLM_FIXED 64
#define FIELD(i) (12 + 8 * (i))
enum { LM, NT, DOMAIN, USER, WORKSTATION, SESSION_KEY, FIELDS };

static void
set_field(struct blob *x, unsigned i, uint16_t len, uint32_t off)
{
	uint8_t *p = x->b + FIELD(i);

	p[0] = (uint8_t)len;
	p[1] = (uint8_t)(len >> 8);
	for (unsigned k = 0; k < 4; k++)
		p[4 + k] = (uint8_t)(off >> 8 * k);
}

/* An AUTHENTICATE message with 16 bytes of each field. */
static struct blob
authenticate(void)
{
	struct blob x = ntlm(3, NTLM_FIXED + 16 * FIELDS);

	for (unsigned i = 0; i < FIELDS; i++) {
		set_field(&x, i, 16, NTLM_FIXED + 16 * i);
		memset(x.b + NTLM_FIXED + 16 * i, 'a' + (int)i, 16);
	}
	return x;
}

static int
get(struct ntlm_auth *a, const struct blob *x)
{
	uint8_t *p = exact(x->b, x->n);
	int rc = ntlm_auth_get(a, p, x->n);

	assert_int_equal(walk_ntlm(p, x->n), rc == 0);
	free(p);
	return rc;
}

static void
ntlm_fields(void **state)
{
	struct blob x = authenticate(), y;
	struct ntlm_auth a;

	(void)state;
	assert_int_equal(ntlm_auth_get(&a, x.b, x.n), 0);
	assert_int_equal(a.lm_len, 16);
	assert_ptr_equal(a.nt, x.b + NTLM_FIXED + 16 * NT);
	assert_ptr_equal(a.domain, x.b + NTLM_FIXED + 16 * DOMAIN);
	assert_ptr_equal(a.user, x.b + NTLM_FIXED + 16 * USER);
	assert_ptr_equal(a.session_key, x.b + NTLM_FIXED + 16 * SESSION_KEY);
	assert_int_equal(a.nt_len + a.domain_len + a.user_len + a.session_key_len, 64);
	assert_false(a.unicode);
	assert_int_equal(a.flags, 0);
	/* The last field ends with the message. */
	for (size_t cut = 0; cut < x.n; cut++) {
		y = bytes(x.b, cut);
		assert_int_equal(get(&a, &y), -1);
	}
	for (size_t bit = 0; bit < 96; bit++) {
		y = x;
		y.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(get(&a, &y), -1);
	}
	mutate_all(x.b, x.n);
}

static void
ntlm_field_places(void **state)
{
	struct blob x = authenticate(), y;
	struct ntlm_auth a;

	(void)state;
	for (unsigned i = 0; i < FIELDS; i++) {
		static const uint32_t beyond[] = { 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff };
		uint32_t end = NTLM_FIXED + 16 * FIELDS;

		/* Up to the end, and past it. */
		y = x;
		set_field(&y, i, 1, end - 1);
		assert_int_equal(get(&a, &y), 0);
		set_field(&y, i, 2, end - 1);
		assert_int_equal(get(&a, &y), -1);
		set_field(&y, i, 1, end);
		assert_int_equal(get(&a, &y), -1);
		set_field(&y, i, 0xffff, NTLM_FIXED);
		assert_int_equal(get(&a, &y), -1);
		set_field(&y, i, (uint16_t)(end - NTLM_FIXED), NTLM_FIXED);
		assert_int_equal(get(&a, &y), 0);
		for (size_t j = 0; j < COUNT(beyond); j++) {
			set_field(&y, i, 16, beyond[j]);
			assert_int_equal(get(&a, &y), -1);
		}
		/* Over the fixed fields. */
		for (uint32_t off = 0; off < NTLM_FIXED; off++) {
			set_field(&y, i, 1, off);
			assert_int_equal(get(&a, &y), -1);
		}
		/* Where nothing is, does not matter. */
		set_field(&y, i, 0, 0);
		assert_int_equal(get(&a, &y), 0);
		set_field(&y, i, 0, 0xffffffff);
		assert_int_equal(get(&a, &y), 0);
	}
	/* Unlike the fixed ones they may share bytes. */
	for (unsigned i = 0; i < FIELDS; i++)
		set_field(&x, i, 96, NTLM_FIXED);
	assert_int_equal(get(&a, &x), 0);
	assert_int_equal(a.user_len, 96);
	x.b[60] = NTLMSSP_NEGOTIATE_UNICODE;
	assert_int_equal(get(&a, &x), 0);
	assert_true(a.unicode);
}

/* [MS-NLMP] 3.2.5.1.2. */
static void
ntlm_nobody(void **state)
{
	static const struct {
		uint16_t lm, nt, user;
		bool anonymous;
	} cases[] = {
		{ 0, 0, 0, true }, { 1, 0, 0, true }, { 2, 0, 0, false }, { 24, 0, 0, false },
		{ 0, 16, 0, false }, { 1, 24, 0, false }, { 0, 0, 2, false }, { 1, 0, 10, false },
		{ 24, 24, 10, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct blob x = authenticate();
		struct ntlm_auth a;

		set_field(&x, LM, cases[i].lm, NTLM_FIXED);
		set_field(&x, NT, cases[i].nt, NTLM_FIXED);
		set_field(&x, USER, cases[i].user, NTLM_FIXED);
		memset(x.b + NTLM_FIXED, 'x', 2);
		assert_int_equal(ntlm_auth_get(&a, x.b, x.n), 0);
		assert_int_equal(ntlm_anonymous(&a), cases[i].anonymous);
	}
}

/* A name ends at its NUL, in the character set that the server goes by. */
static void
ntlm_named(void **state)
{
	static const struct {
		char name[4];
		uint16_t len;
		bool oem, unicode;
	} cases[] = {
		{ "", 0, false, false }, { "\0\0", 2, false, false }, { "\0\0x\0", 4, false, false },
		{ "x\0", 2, true, true }, { "\0\1", 2, false, true }, { "xy", 2, true, true },
		{ "x", 1, true, true }, { "\0", 1, false, false },
	};
	struct blob challenge = ntlm(2, 60);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct blob x = authenticate();
		struct ntlm_auth a;

		set_field(&x, USER, cases[i].len, NTLM_FIXED);
		memcpy(x.b + NTLM_FIXED, cases[i].name, sizeof(cases[i].name));
		assert_int_equal(ntlm_auth_get(&a, x.b, x.n), 0);
		assert_int_equal(ntlm_names(&a, false), cases[i].oem);
		assert_int_equal(ntlm_names(&a, true), cases[i].unicode);
	}
	challenge.b[20] = NTLMSSP_NEGOTIATE_UNICODE;
	assert_true(ntlm_challenge_unicode(challenge.b, 24));
	assert_false(ntlm_challenge_unicode(challenge.b, 23));
	challenge.b[20] = 2;
	assert_false(ntlm_challenge_unicode(challenge.b, 24));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ntlm_published),
		cmocka_unit_test(ntlm_fields),
		cmocka_unit_test(ntlm_field_places),
		cmocka_unit_test(ntlm_nobody),
		cmocka_unit_test(ntlm_named),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
