/* keydmade.c: keytabs, NTLM logons and AP-REQs as others make them, for tests of smbgate-keyd */
#include "config.h"

#include "t/unit/lib/keydmade.h"

#include "base/wr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

const uint8_t some_key[32] = { 7, 7, 7, 7, 1 };

const uint8_t admin_hash[16] = { 0x7c, 0x4f, 0xe5, 0xea, 0xda, 0x68, 0x27, 0x14, 0xa0, 0x36,
	0xe3, 0x93, 0x78, 0x36, 0x2b, 0xab };

const uint8_t chal[NTLM_CHALLENGE_LEN] = { 1, 2, 3, 4, 5, 6, 7, 8 };

void
tab_be(struct tab *t, uint32_t v, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		t->b[t->n++] = (uint8_t)(v >> 8 * i);
}

static void
tab_text(struct tab *t, const char *s)
{
	tab_be(t, (uint32_t)strlen(s), 2);
	memcpy(t->b + t->n, s, strlen(s));
	t->n += strlen(s);
}

void
tab_begin(struct tab *t)
{
	t->n = t->nends = 0;
	tab_be(t, 0x0502, 2);
	t->ends[t->nends++] = t->n;
}

void
tab_entry(struct tab *t, const char *name, const char *realm, uint32_t kvno8, uint32_t kvno32,
    int tail, uint16_t enctype, const uint8_t *key, size_t key_len)
{
	size_t start = t->n, len;
	char copy[256], *save, *part;
	uint32_t parts = 1;

	for (const char *p = name; *p != '\0'; p++)
		parts += *p == '/';
	tab_be(t, 0, 4);
	tab_be(t, parts, 2);
	tab_text(t, realm);
	snprintf(copy, sizeof(copy), "%s", name);
	for (part = strtok_r(copy, "/", &save); part != NULL; part = strtok_r(NULL, "/", &save))
		tab_text(t, part);
	tab_be(t, 1, 4);
	tab_be(t, 1234567, 4);
	tab_be(t, kvno8, 1);
	tab_be(t, enctype, 2);
	tab_be(t, (uint32_t)key_len, 2);
	memcpy(t->b + t->n, key, key_len);
	t->n += key_len;
	tab_be(t, kvno32, tail);
	len = t->n - start - 4;
	t->n = start;
	tab_be(t, (uint32_t)len, 4);
	t->n += len;
	t->ends[t->nends++] = t->n;
}

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

size_t
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

size_t
make_auth(uint8_t dst[512], const uint16_t *user, const uint16_t *upper, const uint8_t hash[16],
    uint8_t key[16])
{
	return make_auth_in(dst, user, upper, u"Lab", hash, key);
}

size_t
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

size_t
der_int(uint8_t *dst, uint8_t tag, uint32_t v)
{
	const uint8_t in[] = { 0x02, 0x05, 0, (uint8_t)(v >> 24), (uint8_t)(v >> 16),
		(uint8_t)(v >> 8), (uint8_t)v };

	return der(dst, tag, in, sizeof(in));
}

size_t
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
