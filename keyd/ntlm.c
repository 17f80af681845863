/* ntlm.c: session keys of NTLM logons, from the NT hashes of a keytab */
#include "config.h"

#include "keyd/ntlm.h"

#include "auth/ntlm.h"
#include "base/keytab.h"
#include "base/rd.h"
#include "keyd/arena.h"
#include "keyd/ntlmhash.h"
#include "keyd/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include <openssl/crypto.h>

#define CHALLENGE 2
#define HASH_LEN NTLM_HASH_LEN
/* A response without a blob behind its proof is one of the old kind, [MS-NLMP] 2.2.2.6. */
#define NTLMV1_LEN 24
/* What is in front of the list in NTLMv2_CLIENT_CHALLENGE, [MS-NLMP] 2.2.2.7, and the list. */
#define BLOB_FIXED_LEN 28
#define AV_EOL 0
#define AV_TIMESTAMP 7
#define AV_TARGET_NAME 9
/* FILETIME, [MS-DTYP] 2.3.3: in 100 ns since 1601. */
#define FILETIME_S 10000000u
#define FILETIME_1970 11644473600
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

int
ntlm_selftest(char why[KEYD_WHY])
{
	if (ntlm_hash_selftest(why) == -1)
		return -1;
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
    struct nokey *why)
{
	struct rd r = rd_init(p, n);
	const uint8_t *mark = rd_bytes(&r, 8);
	uint32_t type = rd_u32(&r);

	rd_seek(&r, 24);
	rd_copy(&r, challenge, NTLM_CHALLENGE_LEN);
	if (rd_ok(&r) && memcmp(mark, "NTLMSSP", 8) == 0 && type == CHALLENGE)
		return 0;
	nokey_say(why, NOKEY_mechanism, "NTLM: not a CHALLENGE message");
	return -1;
}

/* Which form of the domain's name is hashed with the user's: clients differ. */
enum domain_form { DOMAIN_SENT, DOMAIN_UPPER, DOMAIN_NONE, DOMAIN_FORMS };

/* UTF-16LE(UPPER(user) || domain), which NTOWFv2 is made of, [MS-NLMP] 3.3.2. */
struct identity {
	struct name user;		/* upper case */
	size_t plain;			/* so much of it, in units, is before the "@" of a UPN */
	struct name domain;
};

static int
identity_get(struct identity *id, const struct ntlm_auth *m)
{
	if (name_from_wire(&id->user, m->user, m->user_len, m->unicode) == -1 ||
	    name_from_wire(&id->domain, m->domain, m->domain_len, m->unicode) == -1)
		return -1;
	id->plain = id->user.n;
	for (size_t i = 0; i < id->user.n; i++) {
		id->user.unit[i] = upper(id->user.unit[i]);
		if (id->user.unit[i] == '@' && id->plain == id->user.n)
			id->plain = i;
	}
	return 0;
}

static size_t
put_unit(uint8_t *dst, uint16_t unit)
{
	dst[0] = (uint8_t)unit;
	dst[1] = (uint8_t)(unit >> 8);
	return 2;
}

/* NTOWFv2. -1 where OpenSSL cannot. */
static int
identity_hash(uint8_t owf[HASH_LEN], const uint8_t hash[HASH_LEN], const struct identity *id,
    enum domain_form form)
{
	uint8_t bytes[4 * NAME_MAX_UNITS];
	size_t n = 0;

	for (size_t i = 0; i < id->user.n; i++)
		n += put_unit(bytes + n, id->user.unit[i]);
	for (size_t i = 0; form != DOMAIN_NONE && i < id->domain.n; i++)
		n += put_unit(bytes + n, form == DOMAIN_UPPER ? upper(id->domain.unit[i]) :
		    id->domain.unit[i]);
	return ntlm_hmac_md5(owf, hash, bytes, n);
}

static bool
is_named(const struct nthash *h, const struct identity *id)
{
	return (h->len == id->user.n || h->len == id->plain) &&
	    memcmp(h->user, id->user.unit, h->len * sizeof(h->user[0])) == 0;
}

/* A logon to be opened. */
struct attempt {
	const uint8_t *challenge;
	const struct ntlm_auth *m;
	struct identity id;
	uint8_t *temp;			/* the challenge, and what is behind the proof of NTLMv2 */
	size_t temp_len;
};

/*
 * Each: 1: this is the hash, base is the KeyExchangeKey. 0: another one. -1: cannot be computed.
 */
static int
try_v2(uint8_t base[HASH_LEN], const uint8_t hash[HASH_LEN], const struct attempt *t)
{
	uint8_t owf[HASH_LEN], proof[HASH_LEN];
	int r = 0;

	for (int form = 0; form < DOMAIN_FORMS && r == 0; form++) {
		if (identity_hash(owf, hash, &t->id, (enum domain_form)form) == -1 ||
		    ntlm_hmac_md5(proof, owf, t->temp, t->temp_len) == -1 ||
		    ntlm_hmac_md5(base, owf, proof, HASH_LEN) == -1)
			r = -1;
		else
			r = CRYPTO_memcmp(proof, t->m->nt, HASH_LEN) == 0;
	}
	OPENSSL_cleanse(owf, sizeof(owf));
	OPENSSL_cleanse(proof, sizeof(proof));
	return r;
}

/* NTLMv1 with extended session security, [MS-NLMP] 3.3.1 and 3.4.5.1. */
static int
try_v1(uint8_t base[HASH_LEN], const uint8_t hash[HASH_LEN], const struct attempt *t)
{
	uint8_t both[2 * NTLM_CHALLENGE_LEN], mixed[HASH_LEN], response[NTLM_DESL_LEN];
	uint8_t session[HASH_LEN];
	int r = -1;

	memcpy(both, t->challenge, NTLM_CHALLENGE_LEN);
	memcpy(both + NTLM_CHALLENGE_LEN, t->m->lm, NTLM_CHALLENGE_LEN);
	ntlm_md4(session, hash);
	if (ntlm_md5(mixed, both, sizeof(both)) == 0 && ntlm_desl(response, hash, mixed) == 0 &&
	    ntlm_hmac_md5(base, session, both, sizeof(both)) == 0)
		r = CRYPTO_memcmp(response, t->m->nt, NTLM_DESL_LEN) == 0;
	OPENSSL_cleanse(session, sizeof(session));
	return r;
}

static bool
is_v1(const struct ntlm_auth *m)
{
	return m->nt_len <= NTLMV1_LEN;
}

/* 0, or -1: why says what is wrong with it. */
static int
usable(const struct ntlm_auth *m, struct nokey *why)
{
	const uint32_t extended = NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY;

	if (ntlm_anonymous(m))
		nokey_say(why, NOKEY_mechanism, "NTLM: an anonymous logon has no key");
	else if (is_v1(m) && (m->nt_len < NTLMV1_LEN || m->lm_len < NTLM_CHALLENGE_LEN ||
	             (m->flags & extended) == 0))
		nokey_say(why, NOKEY_ntlmv1,
		    "NTLM: NTLMv1 without extended session security is not supported");
	else if ((m->flags & NTLMSSP_NEGOTIATE_KEY_EXCH) != 0 && m->session_key_len != HASH_LEN)
		nokey_say(why, NOKEY_mechanism,
		    "NTLM: the session key in it does not have 16 bytes");
	else
		return 0;
	return -1;
}

/* The hash that fits, or NULL: why says the reason. */
static const struct nthash *
find_hash(uint8_t base[HASH_LEN], const struct nthashes *h, const struct attempt *t,
    struct nokey *why)
{
	nokey_say(why, NOKEY_no_user_hash, "NTLM: the keytab has no rc4-hmac key of that user");
	for (const struct nthash *one = h->first; one != NULL; one = one->next) {
		int fits;

		if (!is_named(one, &t->id))
			continue;
		fits = is_v1(t->m) ? try_v1(base, one->hash, t) : try_v2(base, one->hash, t);
		if (fits == 1)
			return one;
		if (fits == -1)
			nokey_say(why, NOKEY_mechanism, "NTLM: OpenSSL cannot compute it");
		else
			nokey_say(why, NOKEY_wrong_key,
			    "NTLM: no rc4-hmac key of that user fits: another password?");
	}
	return NULL;
}

/* MsvAvTargetName: "cifs/nas" in UTF-16, where the client has said so. */
static int
target_allowed(struct rules *rules, struct rd av, struct nokey *why)
{
	char text[64];
	size_t n = 0;

	while (rd_left(&av) > 1 && n + 1 < sizeof(text)) {
		uint16_t unit = rd_u16(&av);

		text[n++] = (char)(unit > ' ' && unit < 0x7f ? unit : '?');
	}
	text[n] = '\0';
	return strchr(text, '/') == NULL ? 0 : rules_service(rules, text, why);
}

/* MsvAvTimestamp: the node's clock. Those of clients, where it is not there, go as they like. */
static int
time_allowed(struct rules *rules, struct rd av, const char *who, struct nokey *why)
{
	uint64_t ticks = rd_u64(&av);

	return rules_fresh(rules, (int64_t)(ticks / FILETIME_S) - FILETIME_1970, who, why);
}

/* What the client says of its logon, and the proof of NTLMv2 protects: [MS-NLMP] 2.2.2.7. */
static int
blob_allowed(struct rules *rules, const struct ntlm_auth *m, const char *who, struct nokey *why)
{
	struct rd r = rd_init(m->nt, m->nt_len);

	rd_seek(&r, HASH_LEN + BLOB_FIXED_LEN);
	while (rd_left(&r) >= 4) {
		uint16_t id = rd_u16(&r), len = rd_u16(&r);
		struct rd av = rd_sub(&r, r.pos, len);

		rd_skip(&r, len);
		if (id == AV_EOL || !rd_ok(&r))
			return 0;
		if ((id == AV_TARGET_NAME && target_allowed(rules, av, why) == -1) ||
		    (id == AV_TIMESTAMP && time_allowed(rules, av, who, why) == -1))
			return -1;
	}
	return 0;
}

/* The key, if there is to be one: this is the user's hash. */
static int
open_with(const struct nthash *one, const uint8_t base[HASH_LEN], struct rules *rules,
    const struct attempt *t, struct keyd_answer *a, struct nokey *why)
{
	const struct ntlm_auth *m = t->m;
	uint64_t digest = seen_digest(&rules->seen, t->challenge, NTLM_CHALLENGE_LEN, m->nt,
	    is_v1(m) ? NTLM_DESL_LEN : HASH_LEN);

	if ((!is_v1(m) && blob_allowed(rules, m, one->principal, why) == -1) ||
	    rules_once(rules, digest, one->principal, why) == -1)
		return -1;
	*a = (struct keyd_answer){ .key_len = HASH_LEN };
	if ((m->flags & NTLMSSP_NEGOTIATE_KEY_EXCH) != 0)
		ntlm_rc4(a->key, base, m->session_key);
	else
		memcpy(a->key, base, HASH_LEN);
	snprintf(a->principal, sizeof(a->principal), "%s", one->principal);
	return 0;
}

/* temp is what NTLMv2's proof is made of. -1: out of memory. */
static int
attempt_init(struct attempt *t)
{
	if (is_v1(t->m))
		return 0;
	t->temp_len = NTLM_CHALLENGE_LEN + t->m->nt_len - HASH_LEN;
	t->temp = malloc(t->temp_len);
	if (t->temp == NULL)
		return -1;
	memcpy(t->temp, t->challenge, NTLM_CHALLENGE_LEN);
	memcpy(t->temp + NTLM_CHALLENGE_LEN, t->m->nt + HASH_LEN, t->m->nt_len - HASH_LEN);
	return 0;
}

int
ntlm_open(const struct nthashes *h, struct rules *rules,
    const uint8_t challenge[NTLM_CHALLENGE_LEN], const uint8_t *p, size_t n, struct keyd_answer *a,
    struct nokey *why)
{
	const struct nthash *one = NULL;
	struct attempt t = { .challenge = challenge };
	uint8_t base[HASH_LEN];
	struct ntlm_auth m;
	int r = -1;

	t.m = &m;
	nokey_say(why, NOKEY_mechanism, "NTLM: not an AUTHENTICATE message");
	if (ntlm_auth_get(&m, p, n) == 0 && usable(&m, why) == 0) {
		nokey_say(why, NOKEY_mechanism,
		    "NTLM: a name that is neither Unicode nor ASCII, or too long");
		if (identity_get(&t.id, &m) == 0 && attempt_init(&t) == 0)
			one = find_hash(base, h, &t, why);
	}
	if (one != NULL)
		r = open_with(one, base, rules, &t, a, why);
	OPENSSL_cleanse(base, sizeof(base));
	free(t.temp);
	return r;
}
