/* ntlmhash.c: what NTLM is made of: MD4, DES, RC4 and HMAC-MD5 */
#include "config.h"

#include "keyd/ntlmhash.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static uint32_t
rotate(uint32_t v, unsigned bits)
{
	return v << bits | v >> (32 - bits);
}

/* RFC 1320, 3.4: the three rounds. */
static uint32_t
md4_step(int i, const uint32_t v[4], const uint32_t x[16])
{
	static const uint8_t order[3][16] = {
		{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
		{ 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15 },
		{ 0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15 },
	};
	static const uint8_t bits[3][4] = { { 3, 7, 11, 19 }, { 3, 5, 9, 13 }, { 3, 9, 11, 15 } };
	static const uint32_t added[3] = { 0, 0x5a827999, 0x6ed9eba1 };
	uint32_t f, b = v[1], c = v[2], d = v[3];

	if (i < 16)
		f = (b & c) | (~b & d);
	else if (i < 32)
		f = (b & c) | (b & d) | (c & d);
	else
		f = b ^ c ^ d;
	return rotate(v[0] + f + x[order[i / 16][i % 16]] + added[i / 16], bits[i / 16][i % 4]);
}

void
ntlm_md4(uint8_t out[NTLM_HASH_LEN], const uint8_t in[NTLM_HASH_LEN])
{
	static const uint32_t begin[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
	/* One block: the input, its end, and its length in bits. */
	uint32_t x[16] = { [4] = 0x80, [14] = 8 * NTLM_HASH_LEN }, v[4];

	for (int i = 0; i < NTLM_HASH_LEN; i++)
		x[i / 4] |= (uint32_t)in[i] << i % 4 * 8;
	memcpy(v, begin, sizeof(v));
	for (int i = 0; i < 48; i++) {
		uint32_t a = md4_step(i, v, x);

		v[0] = v[3];
		v[3] = v[2];
		v[2] = v[1];
		v[1] = a;
	}
	for (int i = 0; i < NTLM_HASH_LEN; i++)
		out[i] = (uint8_t)((v[i / 4] + begin[i / 4]) >> i % 4 * 8);
	OPENSSL_cleanse(x, sizeof(x));
	OPENSSL_cleanse(v, sizeof(v));
}

void
ntlm_rc4(uint8_t out[NTLM_HASH_LEN], const uint8_t key[NTLM_HASH_LEN],
    const uint8_t in[NTLM_HASH_LEN])
{
	uint8_t s[256], i, j = 0, swap;

	for (int k = 0; k < 256; k++)
		s[k] = (uint8_t)k;
	for (int k = 0; k < 256; k++) {
		j = (uint8_t)(j + s[k] + key[k % NTLM_HASH_LEN]);
		swap = s[k];
		s[k] = s[j];
		s[j] = swap;
	}
	i = j = 0;
	for (int k = 0; k < NTLM_HASH_LEN; k++) {
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
ntlm_hmac_md5(uint8_t out[NTLM_HASH_LEN], const uint8_t key[NTLM_HASH_LEN], const uint8_t *p,
    size_t n)
{
	unsigned len = NTLM_HASH_LEN;

	return HMAC(EVP_md5(), key, NTLM_HASH_LEN, p, n, out, &len) != NULL &&
	    len == NTLM_HASH_LEN ? 0 : -1;
}

int
ntlm_md5(uint8_t out[NTLM_HASH_LEN], const uint8_t *p, size_t n)
{
	unsigned len = NTLM_HASH_LEN;

	return EVP_Digest(p, n, out, &len, EVP_md5(), NULL) == 1 && len == NTLM_HASH_LEN ? 0 : -1;
}

/*
 * DES of one block with 7 bytes of key. OpenSSL has it in a provider that few machines load; triple
 * DES, which it has everywhere, is DES where all three keys are the same.
 */
static int
des(EVP_CIPHER_CTX *ctx, uint8_t out[8], const uint8_t key[7], const uint8_t in[8])
{
	uint8_t k[24];
	uint64_t bits = 0;
	int n = 0;

	for (int i = 0; i < 7; i++)
		bits = bits << 8 | key[i];
	/* Seven bits a byte; parity is not looked at. */
	for (int i = 0; i < 8; i++)
		k[i] = k[8 + i] = k[16 + i] = (uint8_t)(bits >> (49 - 7 * i) << 1);
	n = EVP_EncryptInit_ex(ctx, EVP_des_ede3_ecb(), NULL, k, NULL) == 1 &&
	    EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 && EVP_EncryptUpdate(ctx, out, &n, in, 8) == 1 ?
	    n : 0;
	OPENSSL_cleanse(k, sizeof(k));
	return n == 8 ? 0 : -1;
}

int
ntlm_desl(uint8_t out[NTLM_DESL_LEN], const uint8_t key[NTLM_HASH_LEN], const uint8_t in[8])
{
	uint8_t k[21] = { 0 };
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int r = ctx == NULL ? -1 : 0;

	memcpy(k, key, NTLM_HASH_LEN);
	for (int i = 0; i < 3 && r == 0; i++)
		r = des(ctx, out + 8 * i, k + 7 * i, in);
	OPENSSL_cleanse(k, sizeof(k));
	EVP_CIPHER_CTX_free(ctx);
	return r;
}

int
ntlm_hash_selftest(char why[KEYD_WHY])
{
	/* RFC 2202, test case 1, and RFC 6229, the key 0102..10. */
	static const uint8_t key[NTLM_HASH_LEN] = { 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b,
		0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b };
	static const uint8_t want[NTLM_HASH_LEN] = { 0x92, 0x94, 0x72, 0x7a, 0x36, 0x38, 0xbb, 0x1c,
		0x13, 0xf4, 0x8e, 0xf8, 0x15, 0x8b, 0xfc, 0x9d };
	static const uint8_t rc4_key[NTLM_HASH_LEN] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
		14, 15, 16 };
	static const uint8_t rc4_want[NTLM_HASH_LEN] = { 0x9a, 0xc7, 0xcc, 0x9a, 0x60, 0x9d, 0x1e,
		0xf7, 0xb2, 0x93, 0x28, 0x99, 0xcd, 0xe4, 0x1b, 0x97 };
	static const uint8_t zero[NTLM_HASH_LEN];
	uint8_t got[NTLM_HASH_LEN];

	if (ntlm_hmac_md5(got, key, (const uint8_t *)"Hi There", 8) == -1 ||
	    memcmp(got, want, NTLM_HASH_LEN) != 0) {
		snprintf(why, KEYD_WHY, "OpenSSL here has no MD5 (FIPS?), which NTLM needs");
		return -1;
	}
	ntlm_rc4(got, rc4_key, zero);
	if (memcmp(got, rc4_want, NTLM_HASH_LEN) != 0) {
		snprintf(why, KEYD_WHY, "RC4 is compiled wrongly");
		return -1;
	}
	return 0;
}
