/* fuzz-ntlm.c: libFuzzer target: NTLM logons at smbgate-keyd: who has proven it is opened */
/* for: keyd/ntlm.c */
/* drives: keyd/rules.c */
#include "config.h"

#include "auth/ntlm.h"
#include "base/keytab.h"
#include "base/log.h"
#include "keyd/arena.h"
#include "keyd/ntlm.h"
#include "keyd/ntlmhash.h"
#include "keyd/rules.h"
#include "t/unit/lib/holds.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * The input: {u8 bits, u8 length of a name, the name} and an AUTHENTICATE message. The keytab has
 * the name's hash, and anna's. Bit 0: the proof of NTLMv2 is put into the message, as somebody who
 * knows the password does it.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1700000000
#define KEYS 16384

static const uint8_t hash[NTLM_HASH_LEN] = "sixteen of bytes";
static const uint8_t challenge[NTLM_CHALLENGE_LEN] = "eight of";

static time_t
fuzz_time(time_t *t)
{
	(void)t;
	return NOW;
}

static void
add(struct nthashes *h, struct arena *a, const char *user, size_t n)
{
	const struct keytab_entry e = { .realm = { "LAB.EXAMPLE", 11 },
		.component = { { user, n } },
		.ncomponents = 1,
		.enctype = KEYTAB_RC4,
		.key = hash,
		.key_len = sizeof(hash) };
	const size_t before = h->n;

	HOLDS(nthashes_fits(&e) && nthashes_add(h, a, &e) == 0);
	HOLDS(h->n - before <= 1);
}

/* In UTF-16, with ASCII in upper case where upper says so. */
static size_t
wide(uint8_t *dst, const uint8_t *p, size_t n, bool unicode, bool upper)
{
	size_t o = 0;

	for (size_t i = 0; i < n; i += unicode ? 2 : 1) {
		uint8_t c = p[i], high = unicode ? p[i + 1] : 0;

		dst[o++] = upper && high == 0 && c >= 'a' && c <= 'z' ? c - 32 : c;
		dst[o++] = high;
	}
	return o;
}

/* The proof for what the message says, and the key that it leads to; false: it has no such form. */
static bool
prove(const struct ntlm_auth *m, uint8_t proof[16], uint8_t key[16])
{
	static uint8_t names[65536 * 4];
	uint8_t owf[16], *temp;
	size_t n;

	if (m->nt_len < 24 + 1 || (m->unicode && (m->user_len % 2 != 0 || m->domain_len % 2 != 0)))
		return false;
	n = wide(names, m->user, m->user_len, m->unicode, true);
	n += wide(names + n, m->domain, m->domain_len, m->unicode, false);
	HOLDS(ntlm_hmac_md5(owf, hash, names, n) == 0);
	n = m->nt_len - 16;
	temp = malloc(8 + n);
	HOLDS(temp != NULL);
	memcpy(temp, challenge, 8);
	memcpy(temp + 8, m->nt + 16, n);
	HOLDS(ntlm_hmac_md5(proof, owf, temp, 8 + n) == 0);
	HOLDS(ntlm_hmac_md5(key, owf, proof, 16) == 0);
	free(temp);
	return true;
}

/* Names that are too long, or of some code page, are nobody's. */
static bool
fits(const struct ntlm_auth *m)
{
	if (m->domain_len > (m->unicode ? 1024 : 512))
		return false;
	for (size_t i = 0; !m->unicode && i < m->domain_len; i++)
		if (m->domain[i] > 0x7f)
			return false;
	return (m->flags & NTLMSSP_NEGOTIATE_KEY_EXCH) == 0 || m->session_key_len == 16;
}

static bool
is_anna(const struct ntlm_auth *m)
{
	static const uint8_t text[] = "a\0n\0n\0a\0";

	return m->unicode ? m->user_len == 8 && memcmp(m->user, text, 8) == 0
	                  : m->user_len == 4 && memcmp(m->user, "anna", 4) == 0;
}

/* What is opened was proven; what was, and has no list to be judged, is opened: once. */
static void
fuzz_open(const struct nthashes *h, struct rules *rules, uint8_t *p, size_t n, bool proves)
{
	struct ntlm_auth m;
	uint8_t proof[16], key[16], plain[16];
	struct keyd_answer a;
	struct nokey why;
	bool good = ntlm_auth_get(&m, p, n) == 0, proven = false, v2 = good && m.nt_len > 24;

	if (good && proves && prove(&m, proof, key)) {
		memcpy(p + (m.nt - p), proof, 16);
		HOLDS(ntlm_auth_get(&m, p, n) == 0);
		/* It may stand in the names, too. */
		proven = prove(&m, proof, key) && memcmp(proof, m.nt, 16) == 0;
	}
	if (ntlm_open(h, rules, challenge, p, n, &a, &why) == -1) {
		HOLDS(why.text[0] != '\0');
		HOLDS(!proven || !is_anna(&m) || !fits(&m) || m.nt_len >= 48);
		return;
	}
	HOLDS(good && a.key_len == 16 && !a.mutual);
	if (v2 && proven) {
		if ((m.flags & NTLMSSP_NEGOTIATE_KEY_EXCH) != 0)
			ntlm_rc4(plain, key, m.session_key);
		else
			memcpy(plain, key, 16);
		HOLDS(!is_anna(&m) || memcmp(plain, a.key, 16) == 0);
	}
	HOLDS(proves || !v2);
	HOLDS(ntlm_open(h, rules, challenge, p, n, &a, &why) == -1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct arena arena;
	struct nthashes h = { .n = 0 };
	uint8_t got[NTLM_CHALLENGE_LEN], *copy;
	char why[KEYD_WHY];
	const char *text;
	struct rules rules;
	struct nokey no;
	size_t name;

	if (arena.base == NULL) {
		log_set_level(LOG_LEVEL_ERROR);
		HOLDS(setlocale(LC_CTYPE, "C.UTF-8") != NULL && ntlm_selftest(why) == 0);
		HOLDS(arena_init(&arena, KEYS, &text) == 0);
	}
	(void)!ntlm_challenge_get(got, data, size, &no);
	if (size < 2)
		return 0;
	name = data[1] < size - 2 ? data[1] : size - 2;
	memset(arena.base, 0, arena.used);
	arena.used = 0;
	HOLDS(rules_init(&rules, "cifs,host", why) == 0);
	rules.clock = fuzz_time;
	add(&h, &arena, "anna", 4);
	add(&h, &arena, (const char *)data + 2, name);
	copy = malloc(size - 2 - name);
	HOLDS(copy != NULL || size - 2 - name == 0);
	if (size - 2 - name > 0)
		memcpy(copy, data + 2 + name, size - 2 - name);
	fuzz_open(&h, &rules, copy, size - 2 - name, (data[0] & 1) != 0);
	free(copy);
	rules_fini(&rules);
	return 0;
}
