/* ntlm.c: session keys of NTLMv2 logons, from the NT hashes of a keytab */
#include "config.h"

#include "keyd/ntlm.h"

#include "auth/ntlm.h"
#include "base/rd.h"
#include "keyd/arena.h"
#include "keyd/keytab.h"

#include <stdio.h>
#include <string.h>
#include <wctype.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define CHALLENGE 2
#define HASH_LEN 16
/* A response without a blob behind its proof is one of the old kind, [MS-NLMP] 2.2.2.6. */
#define NTLMV1_LEN 24
/* In UTF-16 units: longer than any directory allows, UPN included. */
#define NAME_MAX_UNITS 512

struct nthash {
	struct nthash *next;
	uint8_t hash[HASH_LEN];
	const char *principal;
	size_t len;
	uint16_t user[];		/* upper case */
};

struct name {
	size_t n;
	uint16_t unit[NAME_MAX_UNITS];
};

static int
hmac_md5(uint8_t out[HASH_LEN], const uint8_t key[HASH_LEN], const uint8_t *p, size_t n)
{
	unsigned len = HASH_LEN;

	return HMAC(EVP_md5(), key, HASH_LEN, p, n, out, &len) != NULL && len == HASH_LEN ? 0 : -1;
}

/* RC4 of one 16-byte key. Own, because a machine's OpenSSL may have come without it. */
static void
rc4(uint8_t out[HASH_LEN], const uint8_t key[HASH_LEN], const uint8_t in[HASH_LEN])
{
	uint8_t s[256], i, j = 0, swap;

	for (int k = 0; k < 256; k++)
		s[k] = (uint8_t)k;
	for (int k = 0; k < 256; k++) {
		j = (uint8_t)(j + s[k] + key[k % HASH_LEN]);
		swap = s[k];
		s[k] = s[j];
		s[j] = swap;
	}
	i = j = 0;
	for (int k = 0; k < HASH_LEN; k++) {
		i++;
		j = (uint8_t)(j + s[i]);
		swap = s[i];
		s[i] = s[j];
		s[j] = swap;
		out[k] = in[k] ^ s[(uint8_t)(s[i] + s[j])];
	}
	OPENSSL_cleanse(s, sizeof(s));
}

int
ntlm_selftest(char why[KEYD_WHY])
{
	/* RFC 2202, test case 1, and RFC 6229, the key 0102..10. */
	static const uint8_t key[HASH_LEN] = { 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b,
		0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b };
	static const uint8_t want[HASH_LEN] = { 0x92, 0x94, 0x72, 0x7a, 0x36, 0x38, 0xbb, 0x1c,
		0x13, 0xf4, 0x8e, 0xf8, 0x15, 0x8b, 0xfc, 0x9d };
	static const uint8_t rc4_key[HASH_LEN] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
		15, 16 };
	static const uint8_t rc4_want[HASH_LEN] = { 0x9a, 0xc7, 0xcc, 0x9a, 0x60, 0x9d, 0x1e, 0xf7,
		0xb2, 0x93, 0x28, 0x99, 0xcd, 0xe4, 0x1b, 0x97 };
	static const uint8_t zero[HASH_LEN];
	uint8_t got[HASH_LEN];

	if (hmac_md5(got, key, (const uint8_t *)"Hi There", 8) == -1 ||
	    memcmp(got, want, HASH_LEN) != 0) {
		snprintf(why, KEYD_WHY, "OpenSSL here has no MD5 (FIPS?), which NTLM needs");
		return -1;
	}
	rc4(got, rc4_key, zero);
	if (memcmp(got, rc4_want, HASH_LEN) != 0) {
		snprintf(why, KEYD_WHY, "RC4 is compiled wrongly");
		return -1;
	}
	if (towupper(0xe4) != 0xc4) {
		snprintf(why, KEYD_WHY, "there is no locale C.UTF-8 to turn names to upper case");
		return -1;
	}
	return 0;
}

/* Unit by unit, as Windows does it: what is beyond 16 bits has no upper case. */
static uint16_t
upper(uint16_t unit)
{
	wint_t w = unit >= 0xd800 && unit <= 0xdfff ? unit : towupper(unit);

	return w <= 0xffff ? (uint16_t)w : unit;
}

/* One code point, or -1. */
static int32_t
utf8_next(struct rd *r)
{
	static const uint32_t smallest[] = { 0, 0x80, 0x800, 0x10000 };
	uint8_t c = rd_u8(r);
	int more = c < 0x80 ? 0 : c < 0xc2 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : -1;
	uint32_t v;

	if (more == -1)
		return -1;
	v = more == 0 ? c : c & (0x3fu >> more);
	for (int i = 0; i < more; i++) {
		c = rd_u8(r);
		if ((c & 0xc0) != 0x80)
			return -1;
		v = v << 6 | (c & 0x3f);
	}
	return !rd_ok(r) || v < smallest[more] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff) ?
	    -1 : (int32_t)v;
}

static int
name_from_utf8(struct name *dst, const char *p, size_t n)
{
	struct rd r = rd_init(p, n);

	dst->n = 0;
	while (rd_left(&r) > 0) {
		int32_t v = utf8_next(&r);

		if (v < 0 || dst->n + 2 > NAME_MAX_UNITS)
			return -1;
		if (v >= 0x10000) {
			dst->unit[dst->n++] = (uint16_t)(0xd800 + ((v - 0x10000) >> 10));
			dst->unit[dst->n++] = (uint16_t)(0xdc00 + ((v - 0x10000) & 0x3ff));
		} else {
			dst->unit[dst->n++] = upper((uint16_t)v);
		}
	}
	return 0;
}

/* As it was sent; what is not Unicode must be ASCII, for nobody says which code page it is. */
static int
name_from_wire(struct name *dst, const uint8_t *p, size_t n, bool unicode)
{
	struct rd r = rd_init(p, n);

	dst->n = 0;
	if (unicode && n % 2 != 0)
		return -1;
	while (rd_left(&r) > 0) {
		uint16_t unit = unicode ? rd_u16(&r) : rd_u8(&r);

		if (dst->n == NAME_MAX_UNITS || (!unicode && unit > 0x7f))
			return -1;
		dst->unit[dst->n++] = unit;
	}
	return 0;
}

bool
nthashes_fits(const struct keytab_entry *e)
{
	return e->enctype == KEYTAB_RC4 && e->ncomponents == 1 && e->key_len == HASH_LEN;
}

int
nthashes_add(struct nthashes *h, struct arena *a, const struct keytab_entry *e)
{
	const struct keytab_text *user = &e->component[0];
	struct nthash *one;
	struct name name;
	char *principal;

	/* A principal that does not fit an answer is left out. */
	if (name_from_utf8(&name, user->p, user->n) == -1 || name.n == 0 ||
	    user->n + 1 + e->realm.n > KEYMSG_TEXT_MAX)
		return 0;
	one = arena_alloc(a, sizeof(*one) + name.n * sizeof(one->user[0]));
	principal = arena_alloc(a, user->n + 1 + e->realm.n + 1);
	if (one == NULL || principal == NULL)
		return -1;
	memcpy(one->hash, e->key, HASH_LEN);
	one->len = name.n;
	memcpy(one->user, name.unit, name.n * sizeof(one->user[0]));
	memcpy(principal, user->p, user->n);
	principal[user->n] = '@';
	memcpy(principal + user->n + 1, e->realm.p, e->realm.n);
	one->principal = principal;
	one->next = h->first;
	h->first = one;
	h->n++;
	return 0;
}

int
ntlm_challenge_get(uint8_t challenge[NTLM_CHALLENGE_LEN], const uint8_t *p, size_t n,
    char why[KEYD_WHY])
{
	struct rd r = rd_init(p, n);
	const uint8_t *mark = rd_bytes(&r, 8);
	uint32_t type = rd_u32(&r);

	rd_seek(&r, 24);
	rd_copy(&r, challenge, NTLM_CHALLENGE_LEN);
	if (rd_ok(&r) && memcmp(mark, "NTLMSSP", 8) == 0 && type == CHALLENGE)
		return 0;
	snprintf(why, KEYD_WHY, "NTLM: not a CHALLENGE message");
	return -1;
}

/* UTF-16LE(UPPER(user) || domain), which NTOWFv2 is made of, [MS-NLMP] 3.3.2. */
struct identity {
	struct name user;		/* upper case */
	size_t plain;			/* so much of it, in units, is before the "@" of a UPN */
	size_t n;
	uint8_t bytes[4 * NAME_MAX_UNITS];
};

static int
identity_get(struct identity *id, const struct ntlm_auth *m)
{
	struct name domain;

	id->n = 0;
	if (name_from_wire(&id->user, m->user, m->user_len, m->unicode) == -1 ||
	    name_from_wire(&domain, m->domain, m->domain_len, m->unicode) == -1)
		return -1;
	id->plain = id->user.n;
	for (size_t i = 0; i < id->user.n; i++) {
		uint16_t u = id->user.unit[i] = upper(id->user.unit[i]);

		if (u == '@' && id->plain == id->user.n)
			id->plain = i;
		id->bytes[id->n++] = (uint8_t)u;
		id->bytes[id->n++] = (uint8_t)(u >> 8);
	}
	for (size_t i = 0; i < domain.n; i++) {
		id->bytes[id->n++] = (uint8_t)domain.unit[i];
		id->bytes[id->n++] = (uint8_t)(domain.unit[i] >> 8);
	}
	return 0;
}

static bool
is_named(const struct nthash *h, const struct identity *id)
{
	return (h->len == id->user.n || h->len == id->plain) &&
	    memcmp(h->user, id->user.unit, h->len * sizeof(h->user[0])) == 0;
}

/* 1: this is the hash, base is the SessionBaseKey. 0: another one. -1: cannot be computed. */
static int
try_hash(uint8_t base[HASH_LEN], const struct nthash *h, const struct identity *id,
    const uint8_t challenge[NTLM_CHALLENGE_LEN], const struct ntlm_auth *m)
{
	uint8_t owf[HASH_LEN], proof[HASH_LEN], *temp;
	size_t n = NTLM_CHALLENGE_LEN + m->nt_len - HASH_LEN;
	int r = -1;

	temp = OPENSSL_malloc(n);
	if (temp == NULL)
		return -1;
	memcpy(temp, challenge, NTLM_CHALLENGE_LEN);
	memcpy(temp + NTLM_CHALLENGE_LEN, m->nt + HASH_LEN, m->nt_len - HASH_LEN);
	if (hmac_md5(owf, h->hash, id->bytes, id->n) == 0 && hmac_md5(proof, owf, temp, n) == 0 &&
	    hmac_md5(base, owf, proof, HASH_LEN) == 0)
		r = CRYPTO_memcmp(proof, m->nt, HASH_LEN) == 0;
	OPENSSL_free(temp);
	OPENSSL_cleanse(owf, sizeof(owf));
	OPENSSL_cleanse(proof, sizeof(proof));
	return r;
}

static const char *
unusable(const struct ntlm_auth *m)
{
	if (ntlm_anonymous(m))
		return "NTLM: an anonymous logon has no key";
	if (m->nt_len <= NTLMV1_LEN)
		return "NTLM: NTLMv1 is not supported";
	if ((m->flags & NTLMSSP_NEGOTIATE_KEY_EXCH) != 0 && m->session_key_len != HASH_LEN)
		return "NTLM: the session key in it does not have 16 bytes";
	return NULL;
}

int
ntlm_open(const struct nthashes *h, const uint8_t challenge[NTLM_CHALLENGE_LEN],
    const uint8_t *p, size_t n, struct keyd_answer *a, char why[KEYD_WHY])
{
	const char *text = "NTLM: not an AUTHENTICATE message";
	uint8_t base[HASH_LEN];
	struct identity id;
	struct ntlm_auth m;

	if (ntlm_auth_get(&m, p, n) == -1 || (text = unusable(&m)) != NULL)
		goto fail;
	text = "NTLM: a name that is neither Unicode nor ASCII, or too long";
	if (identity_get(&id, &m) == -1)
		goto fail;
	text = "NTLM: the keytab has no rc4-hmac key of that user";
	for (const struct nthash *one = h->first; one != NULL; one = one->next) {
		int fits = is_named(one, &id) ? try_hash(base, one, &id, challenge, &m) : 0;

		if (fits == 1) {
			*a = (struct keyd_answer){ .key_len = HASH_LEN };
			if ((m.flags & NTLMSSP_NEGOTIATE_KEY_EXCH) != 0)
				rc4(a->key, base, m.session_key);
			else
				memcpy(a->key, base, HASH_LEN);
			OPENSSL_cleanse(base, sizeof(base));
			snprintf(a->principal, sizeof(a->principal), "%s", one->principal);
			return 0;
		}
		if (is_named(one, &id))
			text = fits == -1 ? "NTLM: HMAC-MD5 failed" :
			    "NTLM: no rc4-hmac key of that user fits: another password?";
	}
	OPENSSL_cleanse(base, sizeof(base));
fail:
	snprintf(why, KEYD_WHY, "%s", text);
	return -1;
}
