/* keyd.c: unit tests of smbgate-keyd: messages, keytabs, NTLM, and the order that it enforces */
#include "config.h"

#include "auth/keymsg.h"
#include "base/fdpass.h"
#include "base/keytab.h"
#include "base/wr.h"
#include "keyd/apreq.h"
#include "keyd/arena.h"
#include "keyd/authent.h"
#include "keyd/ntlm.h"
#include "keyd/ntlmhash.h"
#include "keyd/rules.h"
#include "keyd/seen.h"
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
		{ .type = KEYMSG_KEY, .id = 4, .mutual = true, .text = "a@B", .text_len = 3 },
		{ .type = KEYMSG_FAIL, .id = 5, .cause = NOKEY_CAUSES - 1, .text = "why",
		    .text_len = 3 },
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
		assert_int_equal(m.cause, all[i].cause);
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
	m = (struct keymsg){ .type = KEYMSG_KEY, .text = "a@B", .text_len = 3 };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_FAIL, .cause = NOKEY_CAUSES };
	assert_int_equal(keymsg_put(b, KEYMSG_MAX, &m), 0);
	m = (struct keymsg){ .type = KEYMSG_FORGET, .cause = 1 };
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

static struct keytab_use
use_of(const char *services)
{
	int fd = memfd_create("keytab", MFD_CLOEXEC);
	struct keytab_use u;
	char why[KEYTAB_WHY];
	struct tab t;

	full_tab(&t);
	assert_int_equal(write(fd, t.b, t.n), t.n);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(keytab_use(fd, services, &u, why), 0);
	close(fd);
	return u;
}

/* Accounts count for any service, a service in either case, and no part of a name. */
static void
test_keytab_use(void **state)
{
	struct keytab_use u = use_of("cifs");
	char why[KEYTAB_WHY];
	int fd;

	(void)state;
	assert_true(u.usable == 4 && u.others == 1 && u.unknown == 1);
	u = use_of("HOST,x");
	assert_true(u.usable == 3 && u.others == 2);
	u = use_of("x,Cifs,host");
	assert_true(u.usable == 5 && u.others == 0);
	u = use_of("cif,cifs/,hos,ifs");
	assert_true(u.usable == 2 && u.others == 3);
	fd = memfd_create("keytab", MFD_CLOEXEC);
	assert_int_equal(keytab_use(fd, "cifs", &u, why), -1);
	assert_string_equal(why, "keytab: it is empty");
	assert_int_equal(ftruncate(fd, KEYTAB_FILE_MAX + 1), 0);
	assert_int_equal(keytab_use(fd, "cifs", &u, why), -1);
	assert_non_null(strstr(why, "larger than"));
	close(fd);
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

/* What is answered at all. */

static time_t now_s;

static time_t
test_clock(time_t *t)
{
	(void)t;
	return now_s;
}

static void
rules_begin(struct rules *r, const char *services)
{
	char why[KEYD_WHY];

	assert_int_equal(rules_init(r, services, why), 0);
	r->clock = test_clock;
}

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

/* NTLM. */

struct ntlm {
	struct arena arena;
	struct nthashes hashes;
	struct rules rules;
};

static const uint8_t admin_hash[16] = { 0x7c, 0x4f, 0xe5, 0xea, 0xda, 0x68, 0x27, 0x14, 0xa0, 0x36,
	0xe3, 0x93, 0x78, 0x36, 0x2b, 0xab };

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
make_auth_in(uint8_t dst[512], const uint16_t *user, const uint16_t *upper,
    const uint16_t *hashed_domain, const uint8_t hash[16], uint8_t key[16])
{
	static const uint16_t domain[] = u"Lab";
	static unsigned made;
	uint8_t id[256], owf[16], blob[8 + 44] = { 0 }, proof[16];
	size_t n = utf16(id, upper);
	unsigned len = 16;
	struct wr w = wr_init(dst, 512);

	n += utf16(id + n, hashed_domain);
	memcpy(blob, chal, 8);
	blob[8] = blob[9] = 1;
	/* The client's own challenge. */
	made++;
	memcpy(blob + 24, &made, sizeof(made));
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

static size_t
make_auth(uint8_t dst[512], const uint16_t *user, const uint16_t *upper, const uint8_t hash[16],
    uint8_t key[16])
{
	return make_auth_in(dst, user, upper, u"Lab", hash, key);
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
	static const uint8_t names[] = { 0x30, 0x13, 0xa0, 3, 2, 1, 2, 0xa1, 12, 0x30, 10, 0x1b, 4,
		'c', 'i', 'f', 's', 0x1b, 2, 'n', '1' };
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
	keyd_put(&k, KEYMSG_NTLM_CHALLENGE, 14, c, cn);
	keyd_put(&k, KEYMSG_NTLM_AUTH, 14, auth, an);
	check_fail(&k, 14, "asked about before");
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

/* A message that its exchange does not expect ends that exchange, and no other. */
static void
test_process_order(void **state)
{
	static const struct {
		enum keymsg_type type;
		bool answered;
	} bad[] = {
		{ KEYMSG_NTLM_CHALLENGE, false },
		{ KEYMSG_AP_REQ, true },
		{ KEYMSG_AP_REP, true },
	};
	uint8_t c[48], auth[512], key[16], b[KEYMSG_ANSWER_MAX];
	size_t cn = challenge_message(c), an = make_auth(auth, u"alice", u"ALICE", admin_hash, key);
	struct keymsg m;
	struct keyd k;

	(void)state;
	keyd_start(&k);
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint64_t hit = 100 - 10 * i, other = hit - 1;

		keyd_put(&k, KEYMSG_NTLM_CHALLENGE, hit, c, cn);
		keyd_put(&k, KEYMSG_NTLM_CHALLENGE, other, c, cn);
		keyd_put(&k, bad[i].type, hit, c, cn);
		if (bad[i].answered)
			check_fail(&k, hit, "out of order");
		keyd_put(&k, KEYMSG_NTLM_AUTH, hit, auth, an);
		check_fail(&k, hit, "knows nothing");
		/* That id, below one that was seen, and ended, is as good as any. */
		an = make_auth(auth, u"alice", u"ALICE", admin_hash, key);
		keyd_put(&k, KEYMSG_NTLM_AUTH, other, auth, an);
		keyd_get(&k, &m, b);
		assert_int_equal(m.type, KEYMSG_KEY);
		assert_true(m.id == other);
	}
	keyd_stop(&k);
}

/* The guard hears which worker is lost, gives it a new socket, and all is well. */
static void
check_lost(struct keyd *k)
{
	const uint8_t again[3] = { KEYD_WORKER, 0, 0 };
	uint8_t b[KEYMSG_ANSWER_MAX], c[48], packet[8];
	size_t cn = challenge_message(c);
	struct keymsg m;
	int w[2];

	assert_int_equal(recv(k->guard, packet, sizeof(packet), 0), 3);
	assert_int_equal(packet[0], KEYD_LOST);
	assert_int_equal(packet[1] | packet[2], 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, w), 0);
	assert_int_equal(fdpass_send(k->guard, again, sizeof(again), w[1], 0), 0);
	close(w[1]);
	close(k->worker);
	k->worker = w[0];
	keyd_get(k, &m, b);
	assert_int_equal(m.type, KEYMSG_HELLO);
	keyd_put(k, KEYMSG_AP_REQ, 1, c, cn);
	check_fail(k, 1, "not an AP-REQ");
}

static void
test_process_garbage(void **state)
{
	uint8_t *big = calloc(1, KEYMSG_MAX + 100);
	struct keyd k;

	(void)state;
	keyd_start(&k);
	memset(big, 0xff, KEYMSG_MAX + 100);
	for (size_t n = 1; n < KEYMSG_MAX + 100; n = n < 20 ? n + 1 : n * 10) {
		assert_int_equal(send(k.worker, big, n, MSG_NOSIGNAL), n);
		check_closed(&k);
		check_lost(&k);
	}
	/* What only smbgate-keyd says. */
	keyd_put(&k, KEYMSG_HELLO, KEYMSG_VERSION, NULL, 0);
	check_closed(&k);
	check_lost(&k);
	/* A worker that hangs up. */
	shutdown(k.worker, SHUT_RDWR);
	check_lost(&k);
	keyd_stop(&k);
	free(big);
}

/* It says that it lives, whatever its workers do, also when it has much to do. */
static void
test_process_ping(void **state)
{
	static const char ping = KEYD_PING;
	uint8_t b[512];
	size_t n = make_ap_req(b);
	struct keyd k;
	char what;

	(void)state;
	keyd_start(&k);
	for (uint64_t i = 1; i <= 20; i++)
		keyd_put(&k, KEYMSG_AP_REQ, i, b, n);
	assert_int_equal(send(k.guard, &ping, 1, 0), 1);
	do
		assert_int_equal(recv(k.guard, &what, 1, 0), 1);
	while (what == KEYTAB_WANTED);
	assert_int_equal(what, KEYD_PONG);
	keyd_stop(&k);
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
		cmocka_unit_test(test_keytab_use),
		cmocka_unit_test(test_keytab_cut),
		cmocka_unit_test(test_keytab_flipped),
		cmocka_unit_test(test_keytab_bad),
		cmocka_unit_test(test_rules_services),
		cmocka_unit_test(test_rules_fresh),
		cmocka_unit_test(test_seen),
		cmocka_unit_test(test_ntlm_vectors),
		cmocka_unit_test(test_ntlm_names),
		cmocka_unit_test(test_ntlm_domains),
		cmocka_unit_test(test_ntlm_v1),
		cmocka_unit_test(test_ntlm_refused),
		cmocka_unit_test(test_apreq),
		cmocka_unit_test(test_authent),
		cmocka_unit_test(test_authent_ticket),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_process_limits),
		cmocka_unit_test(test_process_order),
		cmocka_unit_test(test_process_garbage),
		cmocka_unit_test(test_process_ping),
		cmocka_unit_test(test_process_again),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
