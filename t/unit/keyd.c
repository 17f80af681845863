/* keyd.c: unit tests of smbgate-keyd: messages, keytabs, NTLM, and the order that it enforces */
#include "config.h"

#include "auth/keymsg.h"
#include "base/wr.h"
#include "keyd/apreq.h"
#include "keyd/arena.h"
#include "keyd/keytab.h"
#include "keyd/ntlm.h"
#include "t/unit/lib/vectors.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Messages. */

static void
test_keymsg(void **state)
{
	static const uint8_t data[64] = { 1, 2, 3 };
	const struct keymsg all[] = {
		{ .type = KEYMSG_HELLO, .id = KEYMSG_VERSION },
		{ .type = KEYMSG_AP_REQ, .id = 1, .data = data, .len = 64 },
		{ .type = KEYMSG_AP_REP, .id = UINT64_MAX, .data = data, .len = 1 },
		{ .type = KEYMSG_NTLM_CHALLENGE, .id = 3, .data = data, .len = 32 },
		{ .type = KEYMSG_NTLM_AUTH, .id = 3, .data = data, .len = 64 },
		{ .type = KEYMSG_FORGET, .id = 3 },
		{ .type = KEYMSG_KEY, .id = 4, .mutual = true, .data = data, .len = 32,
		    .text = "a@B", .text_len = 3 },
		{ .type = KEYMSG_FAIL, .id = 5, .text = "why", .text_len = 3 },
	};
	uint8_t b[256];

	(void)state;
	for (size_t i = 0; i < COUNT(all); i++) {
		size_t n = keymsg_put(b, sizeof(b), &all[i]);
		struct keymsg m;

		assert_true(n > 0);
		assert_int_equal(keymsg_get(&m, b, n), 0);
		assert_int_equal(m.type, all[i].type);
		assert_true(m.id == all[i].id && m.mutual == all[i].mutual);
		assert_int_equal(m.len, all[i].len);
		assert_int_equal(m.text_len, all[i].text_len);
		assert_memory_equal(m.data, data, m.len);
		assert_memory_equal(m.text, all[i].text == NULL ? "" : all[i].text, m.text_len);
		assert_int_equal(keymsg_put(b, n - 1, &all[i]), 0);
		for (size_t k = 0; k < n; k++) {
			uint8_t *cut = exact(b, k);

			assert_int_equal(keymsg_get(&m, cut, k), -1);
			free(cut);
		}
		b[n] = 0;
		assert_int_equal(keymsg_get(&m, b, n + 1), -1);
	}
	assert_true(keymsg_is_request(KEYMSG_AP_REQ) && keymsg_is_request(KEYMSG_FORGET));
	assert_false(keymsg_is_request(KEYMSG_HELLO) || keymsg_is_request(KEYMSG_KEY));
	assert_false(keymsg_is_request((enum keymsg_type)0) || keymsg_is_request(KEYMSG_TYPES));
}

static void
test_keymsg_bounds(void **state)
{
	uint8_t *big = calloc(1, KEYMSG_MAX), *b = malloc(KEYMSG_MAX);
	struct keymsg m = { .type = KEYMSG_AP_REQ, .data = big, .len = KEYMSG_TOKEN_MAX };

	(void)state;
	assert_true(keymsg_put(b, KEYMSG_MAX, &m) > KEYMSG_TOKEN_MAX);
	m.len++;
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m.len = 0;
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_KEY, .data = big, .len = KEYMSG_KEY_MAX + 1 };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_FAIL, .text = (char *)big,
	    .text_len = KEYMSG_TEXT_MAX + 1 };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_FORGET, .mutual = true };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_TYPES };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	free(big);
	free(b);
}

static void
test_arena(void **state)
{
	struct arena a;
	const char *why;
	uint8_t *p, *q;

	(void)state;
	assert_int_equal(arena_init(&a, 65536, &why), 0);
	p = arena_alloc(&a, 1);
	q = arena_alloc(&a, 100);
	assert_true(q - p == 16);
	for (int i = 0; i < 100; i++)
		assert_int_equal(q[i], 0);
	memset(q, 1, 100);
	assert_null(arena_alloc(&a, 65536));
	assert_non_null(arena_alloc(&a, 65536 - 16 - 112));
	assert_null(arena_alloc(&a, 1));
	arena_fini(&a);
	assert_null(a.base);
	arena_fini(&a);
}

/* Keytabs. */

struct tab {
	uint8_t b[4096];
	size_t n;
	size_t ends[16], nends;		/* where entries end: there the file may be cut */
};

static void
be(struct tab *t, uint32_t v, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		t->b[t->n++] = (uint8_t)(v >> 8 * i);
}

static void
tab_text(struct tab *t, const char *s)
{
	be(t, (uint32_t)strlen(s), 2);
	memcpy(t->b + t->n, s, strlen(s));
	t->n += strlen(s);
}

static void
tab_begin(struct tab *t)
{
	t->n = t->nends = 0;
	be(t, 0x0502, 2);
	t->ends[t->nends++] = t->n;
}

/* name: components with "/"; tail: bytes of a 32-bit kvno, or fewer. */
static void
tab_entry(struct tab *t, const char *name, const char *realm, uint32_t kvno8, uint32_t kvno32,
    int tail, uint16_t enctype, const uint8_t *key, size_t key_len)
{
	size_t start = t->n, len;
	char copy[256], *save, *part;
	uint32_t parts = 1;

	for (const char *p = name; *p != '\0'; p++)
		parts += *p == '/';
	be(t, 0, 4);
	be(t, parts, 2);
	tab_text(t, realm);
	snprintf(copy, sizeof(copy), "%s", name);
	for (part = strtok_r(copy, "/", &save); part != NULL; part = strtok_r(NULL, "/", &save))
		tab_text(t, part);
	be(t, 1, 4);
	be(t, 1234567, 4);
	be(t, kvno8, 1);
	be(t, enctype, 2);
	be(t, (uint32_t)key_len, 2);
	memcpy(t->b + t->n, key, key_len);
	t->n += key_len;
	be(t, kvno32, tail);
	len = t->n - start - 4;
	t->n = start;
	be(t, (uint32_t)len, 4);
	t->n += len;
	t->ends[t->nends++] = t->n;
}

static void
tab_hole(struct tab *t, uint32_t n)
{
	be(t, 0u - n, 4);
	memset(t->b + t->n, 0xee, n);
	t->n += n;
	t->ends[t->nends++] = t->n;
}

struct found {
	size_t n;
	uint32_t kvno[16];
	uint16_t enctype[16];
	size_t components[16];
};

static int
found_cb(void *arg, const struct keytab_entry *e)
{
	struct found *f = arg;

	if (f->n == 16)
		return -1;
	f->kvno[f->n] = e->kvno;
	f->components[f->n] = e->ncomponents;
	f->enctype[f->n++] = e->enctype;
	return 0;
}

static const uint8_t some_key[32] = { 7, 7, 7, 7, 1 };

static void
full_tab(struct tab *t)
{
	tab_begin(t);
	tab_entry(t, "cifs/nas", "LAB", 1, 0, 0, KEYTAB_AES256_SHA1, some_key, 32);
	tab_entry(t, "cifs/nas", "LAB", 2, 258, 4, KEYTAB_AES128_SHA1, some_key, 16);
	tab_hole(t, 77);
	tab_entry(t, "alice", "LAB", 3, 0, 4, KEYTAB_RC4, some_key, 16);
	tab_entry(t, "old", "LAB", 1, 0, 0, 3, some_key, 8);
	tab_entry(t, "host/a/b", "LAB", 9, 0, 3, KEYTAB_AES256_SHA2, some_key, 32);
	tab_entry(t, "nas$", "LAB", 1, 0xfff00001, 4, KEYTAB_AES128_SHA2, some_key, 16);
}

static void
test_keytab(void **state)
{
	struct found f = { .n = 0 };
	char why[KEYD_WHY];
	struct tab t;
	size_t unknown;

	(void)state;
	full_tab(&t);
	assert_int_equal(keytab_parse(t.b, t.n, found_cb, &f, &unknown, why), 0);
	assert_int_equal(f.n, 5);
	assert_int_equal(unknown, 1);
	assert_int_equal(f.kvno[0], 1);
	assert_int_equal(f.kvno[1], 258);
	assert_int_equal(f.kvno[2], 3);
	assert_int_equal(f.kvno[3], 9);
	assert_true(f.kvno[4] == 0xfff00001);
	assert_int_equal(f.enctype[2], KEYTAB_RC4);
	assert_int_equal(f.components[2], 1);
	assert_int_equal(f.components[3], 3);
	/* A zero length ends it. */
	memset(t.b + t.n, 0, 8);
	f.n = 0;
	assert_int_equal(keytab_parse(t.b, t.n + 8, found_cb, &f, &unknown, why), 0);
	assert_int_equal(f.n, 5);
}

/* Cut anywhere but between entries it is an error, and never a byte beyond is looked at. */
static void
test_keytab_cut(void **state)
{
	struct tab t;

	(void)state;
	full_tab(&t);
	for (size_t n = 0; n <= t.n; n++) {
		uint8_t *cut = exact(t.b, n);
		struct found f = { .n = 0 };
		char why[KEYD_WHY] = "";
		bool whole = false;
		size_t unknown;
		int r = keytab_parse(cut, n, found_cb, &f, &unknown, why);

		for (size_t i = 0; i < t.nends; i++)
			whole |= t.ends[i] == n;
		assert_int_equal(r, whole ? 0 : -1);
		assert_true(whole || strncmp(why, "keytab: ", 8) == 0);
		free(cut);
	}
}

static void
test_keytab_flipped(void **state)
{
	struct tab t;

	(void)state;
	full_tab(&t);
	for (size_t i = 0; i < 8 * t.n; i++) {
		uint8_t *b = exact(t.b, t.n);
		struct found f = { .n = 0 };
		char why[KEYD_WHY];
		size_t unknown;

		b[i / 8] ^= (uint8_t)(1 << i % 8);
		if (keytab_parse(b, t.n, found_cb, &f, &unknown, why) == 0)
			assert_true(f.n <= 6);
		free(b);
	}
}

static void
check_bad_tab(const struct tab *t, const char *part)
{
	struct found f = { .n = 0 };
	char why[KEYD_WHY] = "";
	size_t unknown;

	assert_int_equal(keytab_parse(t->b, t->n, found_cb, &f, &unknown, why), -1);
	if (strstr(why, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void
test_keytab_bad(void **state)
{
	struct tab t = { .n = 0 };

	(void)state;
	check_bad_tab(&t, "it is empty");
	be(&t, 0x0501, 2);
	check_bad_tab(&t, "version 0x0502");
	tab_begin(&t);
	tab_entry(&t, "a", "R", 1, 0, 0, KEYTAB_AES256_SHA1, some_key, 16);
	check_bad_tab(&t, "entry 1: 16 bytes are no key of aes256-cts-hmac-sha1-96");
	tab_begin(&t);
	tab_entry(&t, "a", "R", 1, 0, 0, KEYTAB_RC4, some_key, 16);
	tab_entry(&t, "a/b/c/d/e/f/g/h/i", "R", 1, 0, 0, KEYTAB_RC4, some_key, 16);
	check_bad_tab(&t, "entry 2: 9 components");
	tab_begin(&t);
	be(&t, 0x80000000, 4);
	check_bad_tab(&t, "in a hole");
	tab_begin(&t);
	tab_entry(&t, "abc", "R", 1, 0, 0, KEYTAB_RC4, some_key, 16);
	t.b[2 + 4 + 2 + 3 + 2 + 1] = '\0';
	check_bad_tab(&t, "entry 1: does not keep");
}

/* NTLM. */

struct ntlm {
	struct arena arena;
	struct nthashes hashes;
};

static const uint8_t admin_hash[16] = { 0x7c, 0x4f, 0xe5, 0xea, 0xda, 0x68, 0x27, 0x14, 0xa0, 0x36,
	0xe3, 0x93, 0x78, 0x36, 0x2b, 0xab };

static void
ntlm_init(struct ntlm *n)
{
	const char *why;

	*n = (struct ntlm){ .hashes = { .n = 0 } };
	assert_int_equal(arena_init(&n->arena, 65536, &why), 0);
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
check_vector(const struct ntlm *n, const char *resp, const char *req, const char *key)
{
	uint8_t challenge[NTLM_CHALLENGE_LEN];
	struct keyd_answer a;
	char why[KEYD_WHY] = "";
	size_t cn, an;
	uint8_t *c = ntlmssp(resp, &cn), *auth = ntlmssp(req, &an);

	assert_int_equal(ntlm_challenge_get(challenge, c, cn, why), 0);
	assert_int_equal(ntlm_open(&n->hashes, challenge, auth, an, &a, why), 0);
	check_hex(a.key, a.key_len, key);
	assert_string_equal(a.principal, "Administrator@LAB.EXAMPLE");
	assert_false(a.mutual);
	/* All that is needed ends with the session key, before the MIC list of SPNEGO. */
	for (size_t k = 0; k < cn && k < 32; k++) {
		uint8_t *cut = exact(c, k);

		assert_int_equal(ntlm_challenge_get(challenge, cut, k, why), -1);
		free(cut);
	}
	assert_int_equal(ntlm_challenge_get(challenge, c, cn, why), 0);
	for (size_t k = 0; k < 0x196 + 16; k++) {
		uint8_t *cut = exact(auth, k);

		assert_int_equal(ntlm_open(&n->hashes, challenge, cut, k, &a, why), -1);
		free(cut);
	}
	for (size_t i = 0; i < 8 * an; i++) {
		auth[i / 8] ^= (uint8_t)(1 << i % 8);
		(void)!ntlm_open(&n->hashes, challenge, auth, an, &a, why);
		auth[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	challenge[0] ^= 1;
	assert_int_equal(ntlm_open(&n->hashes, challenge, auth, an, &a, why), -1);
	assert_non_null(strstr(why, "another password"));
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
	arena_fini(&n.arena);
}

static const uint8_t chal[NTLM_CHALLENGE_LEN] = { 1, 2, 3, 4, 5, 6, 7, 8 };

/* UTF-16LE of what a test writes; names here are of the BMP. */
static size_t
utf16(uint8_t *dst, const uint16_t *s)
{
	size_t n = 0;

	for (; *s != 0; s++) {
		dst[n++] = (uint8_t)*s;
		dst[n++] = (uint8_t)(*s >> 8);
	}
	return n;
}

static void
field(struct wr *w, size_t at, size_t off, size_t len)
{
	wr_u16_at(w, at, (uint16_t)len);
	wr_u16_at(w, at + 2, (uint16_t)len);
	wr_u32_at(w, at + 4, (uint32_t)off);
}

/* An AUTHENTICATE of NTLMv2 without key exchange; the key is in *key. upper: as it is hashed. */
static size_t
make_auth(uint8_t dst[512], const uint16_t *user, const uint16_t *upper, const uint8_t hash[16],
    uint8_t key[16])
{
	static const uint16_t domain[] = u"Lab";
	uint8_t id[256], owf[16], blob[8 + 44] = { 0 }, proof[16];
	size_t n = utf16(id, upper);
	unsigned len = 16;
	struct wr w = wr_init(dst, 512);

	n += utf16(id + n, domain);
	memcpy(blob, chal, 8);
	blob[8] = blob[9] = 1;
	HMAC(EVP_md5(), hash, 16, id, n, owf, &len);
	HMAC(EVP_md5(), owf, 16, blob, sizeof(blob), proof, &len);
	HMAC(EVP_md5(), owf, 16, proof, 16, key, &len);
	wr_bytes(&w, "NTLMSSP", 8);
	wr_u32(&w, 3);
	wr_zero(&w, 52);
	wr_u32_at(&w, 60, 1);
	field(&w, 20, wr_len(&w), 16 + 44);
	wr_bytes(&w, proof, 16);
	wr_bytes(&w, blob + 8, 44);
	n = utf16(id, domain);
	field(&w, 28, wr_len(&w), n);
	wr_bytes(&w, id, n);
	n = utf16(id, user);
	field(&w, 36, wr_len(&w), n);
	wr_bytes(&w, id, n);
	assert_true(wr_ok(&w));
	return wr_len(&w);
}

static void
check_auth(const struct ntlm *n, const uint16_t *user, const uint16_t *upper, const char *principal)
{
	uint8_t b[512], key[16];
	size_t len = make_auth(b, user, upper, admin_hash, key);
	struct keyd_answer a;
	char why[KEYD_WHY] = "";
	int r = ntlm_open(&n->hashes, chal, b, len, &a, why);

	if (principal == NULL) {
		assert_int_equal(r, -1);
		assert_non_null(strstr(why, "no rc4-hmac key of that user"));
		return;
	}
	if (r == -1)
		fail_msg("%s", why);
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
	arena_fini(&n.arena);
}

static void
check_refused(const struct ntlm *n, const uint8_t *p, size_t len, const char *part)
{
	struct keyd_answer a;
	char why[KEYD_WHY] = "";

	assert_int_equal(ntlm_open(&n->hashes, chal, p, len, &a, why), -1);
	if (strstr(why, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, part);
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
	arena_fini(&n.arena);
}

/* An AP-REQ whose encrypted parts are noise. */

static size_t
der(uint8_t *dst, uint8_t tag, const uint8_t *p, size_t n)
{
	uint8_t copy[400];
	size_t head = n < 0x80 ? 2 : 4;

	memcpy(copy, p, n);
	dst[0] = tag;
	if (n < 0x80) {
		dst[1] = (uint8_t)n;
	} else {
		dst[1] = 0x82;
		dst[2] = (uint8_t)(n >> 8);
		dst[3] = (uint8_t)n;
	}
	memcpy(dst + head, copy, n);
	return head + n;
}

static size_t
der_int(uint8_t *dst, uint8_t tag, uint32_t v)
{
	const uint8_t in[] = { 0x02, 0x05, 0, (uint8_t)(v >> 24), (uint8_t)(v >> 16),
		(uint8_t)(v >> 8), (uint8_t)v };

	return der(dst, tag, in, sizeof(in));
}

static size_t
make_ap_req(uint8_t dst[512])
{
	static const uint8_t realm[] = { 0x1b, 3, 'L', 'A', 'B' };
	static const uint8_t names[] = { 0x30, 0x11, 0xa0, 3, 2, 1, 2, 0xa1, 10, 0x30, 8, 0x1b, 2,
		'n', 'f', 0x1b, 2, 'n', '1' };
	static const uint8_t noise[] = { 0x04, 3, 9, 9, 9 };
	static const uint8_t options[] = { 0x03, 5, 0, 0x20, 0, 0, 0 };
	uint8_t enc[100], t[200], r[400];
	size_t en = 0, tn = 0, rn = 0;

	en += der_int(enc + en, 0xa0, 18);
	en += der_int(enc + en, 0xa1, 70000u);
	en += der(enc + en, 0xa2, noise, sizeof(noise));
	en = der(enc, 0x30, enc, en);
	tn += der_int(t + tn, 0xa0, 5);
	tn += der(t + tn, 0xa1, realm, sizeof(realm));
	tn += der(t + tn, 0xa2, names, sizeof(names));
	tn += der(t + tn, 0xa3, enc, en);
	tn = der(t, 0x30, t, tn);
	tn = der(t, 0x61, t, tn);
	rn += der_int(r + rn, 0xa0, 5);
	rn += der_int(r + rn, 0xa1, 14);
	rn += der(r + rn, 0xa2, options, sizeof(options));
	rn += der(r + rn, 0xa3, t, tn);
	rn += der(r + rn, 0xa4, enc, en);
	rn = der(r, 0x30, r, rn);
	return der(dst, 0x6e, r, rn);
}

static void
test_apreq(void **state)
{
	uint8_t b[512];
	size_t n = make_ap_req(b);
	struct apreq a;

	(void)state;
	assert_int_equal(apreq_get(&a, b, n), 0);
	assert_int_equal(a.enctype, 18);
	assert_true(a.has_kvno && a.kvno == 70000u);
	assert_string_equal(a.server, "nf/n1@LAB");
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

/* The process: smbgate-keyd with us as its guard and its only worker. */

struct keyd {
	pid_t pid;
	int guard, worker;
	uint64_t next;
};

static void
program(char dst[256])
{
	const char *build = getenv("SMBGATE_BUILD");

	snprintf(dst, 256, "%s/keyd/smbgate-keyd", build == NULL ? "." : build);
}

static void
give(const struct keyd *k, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	char what = KEYTAB_FILE;
	struct iovec iov = { &what, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	assert_int_equal(sendmsg(k->guard, &msg, 0), 1);
}

static void
keyd_get(struct keyd *k, struct keymsg *m, uint8_t b[KEYMSG_ANSWER_MAX])
{
	ssize_t n = recv(k->worker, b, KEYMSG_ANSWER_MAX, 0);

	assert_true(n > 0);
	assert_int_equal(keymsg_get(m, b, (size_t)n), 0);
}

static void
keyd_start(struct keyd *k)
{
	const struct timeval patience = { .tv_sec = 20 };
	uint8_t b[KEYMSG_ANSWER_MAX];
	char path[256], one[] = "1", n[] = "-n", name[] = "smbgate-keyd";
	char *argv[] = { name, n, one, NULL };
	int g[2], w[2], fd;
	struct keymsg m;
	struct tab t;
	char what;

	program(path);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, g), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, w), 0);
	k->pid = fork();
	if (k->pid == 0) {
		int hg = fcntl(g[1], F_DUPFD_CLOEXEC, 10), hw = fcntl(w[1], F_DUPFD_CLOEXEC, 10);

		dup2(hg, KEYD_GUARD_FD);
		dup2(hw, KEYD_GUARD_FD + 1);
		close_range(KEYD_GUARD_FD + 2, ~0u, 0);
		execv(path, argv);
		_exit(127);
	}
	close(g[1]);
	close(w[1]);
	k->guard = g[0];
	k->worker = w[0];
	k->next = 1;
	setsockopt(k->guard, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(k->worker, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	tab_begin(&t);
	tab_entry(&t, "alice", "LAB.EXAMPLE", 1, 0, 0, KEYTAB_RC4, admin_hash, 16);
	fd = memfd_create("keytab", 0);
	assert_int_equal(write(fd, t.b, t.n), t.n);
	lseek(fd, 0, SEEK_SET);
	give(k, fd);
	close(fd);
	assert_int_equal(recv(k->guard, &what, 1, 0), 1);
	assert_int_equal(what, KEYD_SERVES);
	keyd_get(k, &m, b);
	assert_int_equal(m.type, KEYMSG_HELLO);
	assert_int_equal(m.id, KEYMSG_VERSION);
}

/* It ends when its guard does, and by nothing else. */
static void
keyd_stop(struct keyd *k)
{
	int status;

	close(k->guard);
	close(k->worker);
	assert_int_equal(waitpid(k->pid, &status, 0), k->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
keyd_put(const struct keyd *k, enum keymsg_type type, uint64_t id, const void *p, size_t len)
{
	uint8_t *b = malloc(KEYMSG_MAX);
	size_t n = keymsg_put(b, KEYMSG_MAX, &(struct keymsg){ .type = type, .id = id, .data = p,
	    .len = len });

	assert_true(n > 0);
	assert_int_equal(send(k->worker, b, n, MSG_NOSIGNAL), n);
	free(b);
}

static void
check_fail(struct keyd *k, uint64_t id, const char *part)
{
	uint8_t b[KEYMSG_ANSWER_MAX];
	char why[KEYMSG_TEXT_MAX + 1];
	struct keymsg m;

	keyd_get(k, &m, b);
	assert_int_equal(m.type, KEYMSG_FAIL);
	assert_true(m.id == id);
	snprintf(why, sizeof(why), "%.*s", (int)m.text_len, m.text);
	if (strstr(why, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void
check_closed(struct keyd *k)
{
	uint8_t b[KEYMSG_ANSWER_MAX];

	assert_int_equal(recv(k->worker, b, sizeof(b), 0), 0);
}

static size_t
challenge_message(uint8_t dst[48])
{
	memset(dst, 0, 48);
	memcpy(dst, "NTLMSSP", 8);
	dst[8] = 2;
	memcpy(dst + 24, chal, sizeof(chal));
	return 48;
}

static void
test_process(void **state)
{
	uint8_t c[48], auth[512], key[16], b[KEYMSG_ANSWER_MAX];
	size_t cn = challenge_message(c), an = make_auth(auth, u"alice", u"ALICE", admin_hash, key);
	struct keymsg m;
	struct keyd k;

	(void)state;
	keyd_start(&k);
	keyd_put(&k, KEYMSG_NTLM_CHALLENGE, 10, c, cn);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 10, auth, an);
	keyd_get(&k, &m, b);
	assert_int_equal(m.type, KEYMSG_KEY);
	assert_true(m.id == 10 && !m.mutual && m.len == 16);
	assert_memory_equal(m.data, key, 16);
	assert_int_equal(m.text_len, 17);
	assert_memory_equal(m.text, "alice@LAB.EXAMPLE", 17);
	/* Once. */
	keyd_put(&k, KEYMSG_NTLM_AUTH, 10, auth, an);
	check_fail(&k, 10, "knows nothing");
	/* Never begun, as after a restart. */
	keyd_put(&k, KEYMSG_AP_REP, 5, c, cn);
	check_fail(&k, 5, "knows nothing");
	keyd_put(&k, KEYMSG_NTLM_AUTH, 11, auth, an);
	check_fail(&k, 11, "knows nothing");
	keyd_put(&k, KEYMSG_NTLM_CHALLENGE, 12, c, cn);
	keyd_put(&k, KEYMSG_FORGET, 12, NULL, 0);
	keyd_put(&k, KEYMSG_FORGET, 12, NULL, 0);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 12, auth, an);
	check_fail(&k, 12, "knows nothing");
	/* Noise, of all sizes. */
	keyd_put(&k, KEYMSG_AP_REQ, 13, c, 1);
	check_fail(&k, 13, "not an AP-REQ");
	keyd_stop(&k);
}

/* A bad challenge is not kept; more exchanges than there may be push the oldest out. */
static void
test_process_limits(void **state)
{
	uint8_t c[48], auth[512], key[16], b[KEYMSG_ANSWER_MAX];
	size_t cn = challenge_message(c), an = make_auth(auth, u"alice", u"ALICE", admin_hash, key);
	struct keymsg m;
	struct keyd k;

	(void)state;
	keyd_start(&k);
	keyd_put(&k, KEYMSG_NTLM_CHALLENGE, 1, c, 31);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 1, auth, an);
	check_fail(&k, 1, "knows nothing");
	for (uint64_t id = 2; id <= 4096 + 2; id++)
		keyd_put(&k, KEYMSG_NTLM_CHALLENGE, id, c, cn);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 2, auth, an);
	check_fail(&k, 2, "knows nothing");
	keyd_put(&k, KEYMSG_NTLM_AUTH, 3, auth, an);
	keyd_get(&k, &m, b);
	assert_int_equal(m.type, KEYMSG_KEY);
	keyd_stop(&k);
}

/* Each of these is sent to a process of its own, which must close the channel. */
static void
test_process_order(void **state)
{
	static const struct {
		enum keymsg_type first, second;
		uint64_t id;
	} bad[] = {
		{ KEYMSG_NTLM_CHALLENGE, KEYMSG_NTLM_CHALLENGE, 2 },
		{ KEYMSG_NTLM_CHALLENGE, KEYMSG_AP_REQ, 2 },
		{ KEYMSG_NTLM_CHALLENGE, KEYMSG_AP_REP, 2 },
		{ KEYMSG_NTLM_CHALLENGE, KEYMSG_NTLM_CHALLENGE, 1 },
		{ KEYMSG_NTLM_CHALLENGE, KEYMSG_AP_REQ, 1 },
		{ KEYMSG_NTLM_CHALLENGE, KEYMSG_KEY, 2 },
	};
	uint8_t c[48];
	size_t cn = challenge_message(c);

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct keyd k;

		keyd_start(&k);
		keyd_put(&k, bad[i].first, 2, c, cn);
		keyd_put(&k, bad[i].second, bad[i].id, c, cn);
		check_closed(&k);
		keyd_stop(&k);
	}
}

static void
test_process_garbage(void **state)
{
	uint8_t *big = calloc(1, KEYMSG_MAX + 100);
	struct keyd k;

	(void)state;
	for (size_t n = 1; n < KEYMSG_MAX + 100; n = n < 20 ? n + 1 : n * 10) {
		keyd_start(&k);
		memset(big, 0xff, n);
		assert_int_equal(send(k.worker, big, n, MSG_NOSIGNAL), n);
		check_closed(&k);
		keyd_stop(&k);
	}
	free(big);
}

/* An AP-REQ that no key fits makes it ask for the keytab again; the old reason comes with it. */
static void
test_process_again(void **state)
{
	static const char same = KEYTAB_SAME, absent[] = "Agone fishing";
	uint8_t b[512];
	size_t n = make_ap_req(b);
	struct keyd k;
	char what;

	(void)state;
	keyd_start(&k);
	keyd_put(&k, KEYMSG_AP_REQ, 1, b, n);
	assert_int_equal(recv(k.guard, &what, 1, 0), 1);
	assert_int_equal(what, KEYTAB_WANTED);
	assert_int_equal(send(k.guard, &same, 1, 0), 1);
	check_fail(&k, 1, "");
	/* Too soon to ask once more. */
	keyd_put(&k, KEYMSG_AP_REQ, 2, b, n);
	check_fail(&k, 2, "");
	assert_int_equal(send(k.guard, absent, strlen(absent), 0), strlen(absent));
	keyd_put(&k, KEYMSG_AP_REQ, 3, b, n);
	check_fail(&k, 3, "gone fishing");
	keyd_stop(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keymsg),
		cmocka_unit_test(test_keymsg_bounds),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_keytab),
		cmocka_unit_test(test_keytab_cut),
		cmocka_unit_test(test_keytab_flipped),
		cmocka_unit_test(test_keytab_bad),
		cmocka_unit_test(test_ntlm_vectors),
		cmocka_unit_test(test_ntlm_names),
		cmocka_unit_test(test_ntlm_refused),
		cmocka_unit_test(test_apreq),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_process_limits),
		cmocka_unit_test(test_process_order),
		cmocka_unit_test(test_process_garbage),
		cmocka_unit_test(test_process_again),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
