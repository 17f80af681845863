/* keyd-ntlm.c: unit tests of the session keys of NTLM logons: vectors, names, domains, refusals */
#include "config.h"

#include "base/keytab.h"
#include "base/wr.h"
#include "keyd/arena.h"
#include "keyd/ntlm.h"
#include "keyd/ntlmhash.h"
#include "keyd/rules.h"
#include "t/unit/lib/keydmade.h"
#include "t/unit/lib/keydrules.h"
#include "t/unit/lib/vectors.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct ntlm {
	struct arena arena;
	struct nthashes hashes;
	struct rules rules;
};

static void
ntlm_init(struct ntlm *n)
{
	const char *why;

	*n = (struct ntlm){ .hashes = { .n = 0 } };
	assert_int_equal(arena_init(&n->arena, 65536, &why), 0);
	rules_begin(&n->rules, "cifs");
	/* When the vectors were made. */
	now_s = 1435184301;
}

static void
ntlm_fini(struct ntlm *n)
{
	rules_fini(&n->rules);
	arena_fini(&n->arena);
}

static void
ntlm_add(struct ntlm *n, const char *user, const uint8_t hash[16])
{
	struct keytab_entry e = {
		.realm = { "LAB.EXAMPLE", 11 },
		.component = { { user, strlen(user) } },
		.ncomponents = 1,
		.enctype = KEYTAB_RC4,
		.key = hash,
		.key_len = 16,
	};

	assert_true(nthashes_fits(&e));
	assert_int_equal(nthashes_add(&n->hashes, &n->arena, &e), 0);
}

/* The NTLMSSP message in an SMB message; the caller frees it. */
static uint8_t *
ntlmssp(const char *name, size_t *n_r)
{
	size_t n;
	uint8_t *b = vector(name, &n), *p = memmem(b, n, "NTLMSSP", 8), *r;

	assert_non_null(p);
	*n_r = n - (size_t)(p - b);
	r = exact(p, *n_r);
	free(b);
	return r;
}

static void
check_hex(const uint8_t *p, size_t n, const char *hex)
{
	size_t want_n;
	uint8_t *want = unhex(hex, &want_n);

	assert_int_equal(n, want_n);
	assert_memory_equal(p, want, n);
	free(want);
}

static void
check_vector(struct ntlm *n, const char *resp, const char *req, const char *key)
{
	uint8_t challenge[NTLM_CHALLENGE_LEN];
	struct keyd_answer a;
	struct nokey why;
	size_t cn, an;
	uint8_t *c = ntlmssp(resp, &cn), *auth = ntlmssp(req, &an);

	assert_int_equal(ntlm_challenge_get(challenge, c, cn, &why), 0);
	assert_int_equal(ntlm_open(&n->hashes, &n->rules, challenge, auth, an, &a, &why), 0);
	check_hex(a.key, a.key_len, key);
	assert_string_equal(a.principal, "Administrator@LAB.EXAMPLE");
	assert_false(a.mutual);
	/* Once, within a day, and for the service that the client means. */
	assert_int_equal(ntlm_open(&n->hashes, &n->rules, challenge, auth, an, &a, &why), -1);
	assert_non_null(strstr(why.text, "asked about before"));
	now_s += 25 * 3600;
	assert_int_equal(ntlm_open(&n->hashes, &n->rules, challenge, auth, an, &a, &why), -1);
	assert_non_null(strstr(why.text, "hours old"));
	now_s -= 25 * 3600;
	strcpy(n->rules.service[0], "host");
	assert_int_equal(ntlm_open(&n->hashes, &n->rules, challenge, auth, an, &a, &why), -1);
	assert_non_null(strstr(why.text, "it is for cifs/SUT311"));
	strcpy(n->rules.service[0], "cifs");
	/* All that is needed ends with the session key, before the MIC list of SPNEGO. */
	for (size_t k = 0; k < cn && k < 32; k++) {
		uint8_t *cut = exact(c, k);

		assert_int_equal(ntlm_challenge_get(challenge, cut, k, &why), -1);
		free(cut);
	}
	assert_int_equal(ntlm_challenge_get(challenge, c, cn, &why), 0);
	for (size_t k = 0; k < 0x196 + 16; k++) {
		uint8_t *cut = exact(auth, k);

		assert_int_equal(ntlm_open(&n->hashes, &n->rules, challenge, cut, k, &a, &why), -1);
		free(cut);
	}
	for (size_t i = 0; i < 8 * an; i++) {
		auth[i / 8] ^= (uint8_t)(1 << i % 8);
		(void)!ntlm_open(&n->hashes, &n->rules, challenge, auth, an, &a, &why);
		auth[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	challenge[0] ^= 1;
	assert_int_equal(ntlm_open(&n->hashes, &n->rules, challenge, auth, an, &a, &why), -1);
	assert_non_null(strstr(why.text, "another password"));
	free(c);
	free(auth);
}

static void
test_ntlm_vectors(void **state)
{
	char why[KEYD_WHY] = "";
	struct ntlm n;

	(void)state;
	assert_int_equal(ntlm_selftest(why), 0);
	ntlm_init(&n);
	/* An older password of the same user, before and behind. */
	ntlm_add(&n, "administrator", some_key);
	ntlm_add(&n, "Administrator", admin_hash);
	ntlm_add(&n, "administrator", some_key);
	ntlm_add(&n, "alice", some_key);
	check_vector(&n, "ms-311-setup-resp-1", "ms-311-setup-req-2",
	    "270e1ba896585eeb7af3472d3b4c75a7");
	check_vector(&n, "ms-311-bind-resp-1", "ms-311-bind-req-2",
	    "84b9dbb730116a8fa6e9889555c265f9");
	ntlm_fini(&n);
}

static void
check_auth(struct ntlm *n, const uint16_t *user, const uint16_t *upper, const char *principal)
{
	uint8_t b[512], key[16];
	size_t len = make_auth(b, user, upper, admin_hash, key);
	struct keyd_answer a;
	struct nokey why;
	int r = ntlm_open(&n->hashes, &n->rules, chal, b, len, &a, &why);

	if (principal == NULL) {
		assert_int_equal(r, -1);
		assert_non_null(strstr(why.text, "no rc4-hmac key of that user"));
		assert_int_equal(why.cause, NOKEY_no_user_hash);
		return;
	}
	if (r == -1)
		fail_msg("%s", why.text);
	assert_int_equal(a.key_len, 16);
	assert_memory_equal(a.key, key, 16);
	assert_string_equal(a.principal, principal);
}

static void
test_ntlm_names(void **state)
{
	struct ntlm n;

	(void)state;
	ntlm_init(&n);
	ntlm_add(&n, "alice", admin_hash);
	ntlm_add(&n, "j\xc3\xbcrgen", admin_hash);
	ntlm_add(&n, "\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd", admin_hash);
	ntlm_add(&n, "\xf0\x9f\x98\x80", admin_hash);
	/* Not UTF-8: overlong, a surrogate, cut. They are left out, and harm nobody. */
	ntlm_add(&n, "\xc0\xaf", admin_hash);
	ntlm_add(&n, "\xed\xa0\x80", admin_hash);
	ntlm_add(&n, "x\xe2\x82", admin_hash);
	assert_int_equal(n.hashes.n, 4);
	check_auth(&n, u"alice", u"ALICE", "alice@LAB.EXAMPLE");
	check_auth(&n, u"aLICE", u"ALICE", "alice@LAB.EXAMPLE");
	check_auth(&n, u"Alice@lab.example", u"ALICE@LAB.EXAMPLE", "alice@LAB.EXAMPLE");
	check_auth(&n, u"J\u00fcrgen", u"J\u00dcRGEN", "j\xc3\xbcrgen@LAB.EXAMPLE");
	check_auth(&n, u"\u0438\u0412\u0430\u043d", u"\u0418\u0412\u0410\u041d",
	    "\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd@LAB.EXAMPLE");
	check_auth(&n, u"\U0001f600", u"\U0001f600", "\xf0\x9f\x98\x80@LAB.EXAMPLE");
	check_auth(&n, u"alic", u"ALIC", NULL);
	check_auth(&n, u"alicea", u"ALICEA", NULL);
	check_auth(&n, u"@alice", u"@ALICE", NULL);
	ntlm_fini(&n);
}

/* Clients hash the domain as they send it, in upper case, or not at all. */
static void
test_ntlm_domains(void **state)
{
	static const uint16_t *const good[] = { u"Lab", u"LAB", u"" };
	uint8_t b[512], key[16];
	struct keyd_answer a;
	struct nokey why;
	struct ntlm n;
	size_t len;

	(void)state;
	ntlm_init(&n);
	ntlm_add(&n, "alice", some_key);
	ntlm_add(&n, "alice", admin_hash);
	for (size_t i = 0; i < COUNT(good); i++) {
		len = make_auth_in(b, u"alice", u"ALICE", good[i], admin_hash, key);
		assert_int_equal(ntlm_open(&n.hashes, &n.rules, chal, b, len, &a, &why), 0);
		assert_memory_equal(a.key, key, 16);
	}
	len = make_auth_in(b, u"alice", u"ALICE", u"lab", admin_hash, key);
	assert_int_equal(ntlm_open(&n.hashes, &n.rules, chal, b, len, &a, &why), -1);
	len = make_auth_in(b, u"alice", u"alice", u"Lab", admin_hash, key);
	assert_int_equal(ntlm_open(&n.hashes, &n.rules, chal, b, len, &a, &why), -1);
	ntlm_fini(&n);
}

/* [MS-NLMP] 4.2.1 and 4.2.3: NTLMv1 with client challenge. */
static void
test_ntlm_v1(void **state)
{
	static const char head[] = "4e544c4d5353500003000000"
	    "1800180048000000" "1800180060000000" "0c000c0078000000" "0800080084000000"
	    "00000000" "8c000000" "000000008c000000" "01820800" "0000000000000000"
	    "aaaaaaaaaaaaaaaa00000000000000000000000000000000"
	    "7537f803ae367128ca458204bde7caf81e97ed2683267232"
	    "44006f006d00610069006e00" "5500730065007200";
	static const uint8_t challenge[8] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	size_t len, hash_len;
	uint8_t *b = unhex(head, &len);
	uint8_t *hash = unhex("a4f49c406510bdcab6824ee7c30fd852", &hash_len);
	struct keyd_answer a;
	struct nokey why;
	struct ntlm n;

	(void)state;
	ntlm_init(&n);
	ntlm_md4(a.key, hash);
	check_hex(a.key, 16, "d87262b0cde4b1cb7499becccdf10784");
	ntlm_add(&n, "user", some_key);
	ntlm_add(&n, "User", hash);
	if (ntlm_open(&n.hashes, &n.rules, challenge, b, len, &a, &why) == -1)
		fail_msg("%s", why.text);
	check_hex(a.key, a.key_len, "eb93429a8bd952f8b89c55b87f475edc");
	assert_int_equal(ntlm_open(&n.hashes, &n.rules, challenge, b, len, &a, &why), -1);
	assert_non_null(strstr(why.text, "asked about before"));
	for (size_t i = 0x48; i < 0x50; i++) {
		b[i] ^= 1;
		assert_int_equal(ntlm_open(&n.hashes, &n.rules, challenge, b, len, &a, &why), -1);
		assert_non_null(strstr(why.text, "another password"));
		b[i] ^= 1;
	}
	b[62] = 0;
	assert_int_equal(ntlm_open(&n.hashes, &n.rules, challenge, b, len, &a, &why), -1);
	assert_non_null(strstr(why.text, "without extended session security"));
	ntlm_fini(&n);
	free(b);
	free(hash);
}

static void
check_refused(struct ntlm *n, const uint8_t *p, size_t len, const char *part)
{
	struct keyd_answer a;
	struct nokey why;

	assert_int_equal(ntlm_open(&n->hashes, &n->rules, chal, p, len, &a, &why), -1);
	if (strstr(why.text, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why.text, part);
}

static void
test_ntlm_refused(void **state)
{
	uint8_t b[512], key[16];
	size_t len;
	struct ntlm n;
	struct wr w;

	(void)state;
	ntlm_init(&n);
	ntlm_add(&n, "alice", admin_hash);
	len = make_auth(b, u"alice", u"ALICE", some_key, key);
	check_refused(&n, b, len, "another password");
	len = make_auth(b, u"alice", u"ALICE", admin_hash, key);
	check_refused(&n, b + 1, len - 1, "not an AUTHENTICATE");
	b[8] = 2;
	check_refused(&n, b, len, "not an AUTHENTICATE");
	b[8] = 3;
	b[63] |= 0x40;
	check_refused(&n, b, len, "does not have 16 bytes");
	b[63] = 0;
	b[36]--;
	check_refused(&n, b, len, "neither Unicode nor ASCII");
	w = (struct wr){ .base = b, .cap = len, .pos = len };
	b[36]++;
	wr_u16_at(&w, 20, 24);
	check_refused(&n, b, len, "NTLMv1");
	wr_u16_at(&w, 20, 0);
	wr_u16_at(&w, 36, 0);
	check_refused(&n, b, len, "anonymous");
	ntlm_fini(&n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ntlm_vectors),
		cmocka_unit_test(test_ntlm_names),
		cmocka_unit_test(test_ntlm_domains),
		cmocka_unit_test(test_ntlm_v1),
		cmocka_unit_test(test_ntlm_refused),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
