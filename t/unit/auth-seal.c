/* auth-seal.c: unit tests of encrypted messages, opened, made and peeked into */
#include "config.h"

#include "auth/crypt.h"
#include "auth/keys.h"
#include "auth/seal.h"
#include "auth/sign.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/xform.h"
#include "t/unit/lib/authvec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const uint16_t ciphers[] = { SMB2_CIPHER_AES128_CCM, SMB2_CIPHER_AES128_GCM,
	SMB2_CIPHER_AES256_CCM, SMB2_CIPHER_AES256_GCM };

/* Keys for a cipher, out of what is at hand. */
static struct smbkeys *
keys_of(uint16_t cipher)
{
	return keys(SMB2_DIALECT_311, cipher, SMB2_SIGNING_AES_GMAC, KEY_32, HASH_311);
}

struct sealed {
	const char *name, *plain;
	enum seal_dir dir;
	uint16_t dialect, cipher;
	const char *key, *hash;
};

static const struct sealed sealed[] = {
	{ "ms-300-write-req-ccm", "ms-300-write-req", SEAL_C2S, SMB2_DIALECT_300,
		SMB2_CIPHER_AES128_CCM, KEY_CCM, NULL },
	{ "ms-300-write-resp-ccm", "ms-300-write-resp", SEAL_S2C, SMB2_DIALECT_300,
		SMB2_CIPHER_AES128_CCM, KEY_CCM, NULL },
	{ "ms-311-write-req-gcm", "ms-311-write-req", SEAL_C2S, SMB2_DIALECT_311,
		SMB2_CIPHER_AES128_GCM, KEY_GCM, HASH_GCM },
	{ "ms-311-write-resp-gcm", "ms-311-write-resp", SEAL_S2C, SMB2_DIALECT_311,
		SMB2_CIPHER_AES128_GCM, KEY_GCM, HASH_GCM },
	{ "write-resp-gcm256", "ms-311-write-resp", SEAL_S2C, SMB2_DIALECT_311,
		SMB2_CIPHER_AES256_GCM, KEY_32, HASH_311 },
	{ "write-resp-ccm256", "ms-311-write-resp", SEAL_S2C, SMB2_DIALECT_311,
		SMB2_CIPHER_AES256_CCM, KEY_32, HASH_311 },
};

static uint8_t *
sealed_get(const struct sealed *s, struct smbkeys **k, size_t *n)
{
	*k = keys(s->dialect, s->cipher, SMB2_SIGNING_AES_CMAC, s->key, s->hash);
	return authvec_get(s->name, n);
}

/* For the plaintext of a frame of n bytes, and not one more. */
static uint8_t *
room(size_t n)
{
	uint8_t *p = malloc(n < SMB2_TRANSFORM_LEN ? 0 : n - SMB2_TRANSFORM_LEN);

	assert_non_null(p);
	return p;
}

static enum seal_dir
back(enum seal_dir dir)
{
	return dir == SEAL_C2S ? SEAL_S2C : SEAL_C2S;
}

static void
seal_published(void **state)
{
	struct crypt *c = *state;

	for (size_t i = 0; i < COUNT(sealed); i++) {
		const struct sealed *s = &sealed[i];
		struct smbkeys *k, *other;
		size_t n, want_n, body;
		uint8_t *p = sealed_get(s, &k, &n), *want = authvec_get(s->plain, &want_n), *out;

		body = n - SMB2_TRANSFORM_LEN;
		assert_int_equal(body, want_n);
		out = room(n);
		assert_int_equal(seal_open(c, k, s->dir, p, n, out), 0);
		assert_memory_equal(out, want, body);
		/* The other way has another key, and so has another session. */
		assert_int_equal(seal_open(c, k, back(s->dir), p, n, out), -1);
		other = keys(s->dialect, s->cipher, SMB2_SIGNING_AES_CMAC, KEY_BIND, HASH_BIND);
		assert_int_equal(seal_open(c, other, s->dir, p, n, out), -1);
		smbkeys_unref(&other);
		for (size_t j = 0; j < COUNT(ciphers); j++) {
			uint16_t right = k->cipher;

			k->cipher = ciphers[j];
			assert_int_equal(seal_open(c, k, s->dir, p, n, out),
			    ciphers[j] == right ? 0 : -1);
			k->cipher = right;
		}
		free(out);
		free(want);
		free(p);
		smbkeys_unref(&k);
	}
}

/* Any bit of header or message: ProtocolId, tag, nonce with what of it is not used, all of it. */
static void
seal_flipped(void **state)
{
	struct crypt *c = *state;

	for (size_t i = 0; i < COUNT(sealed); i++) {
		struct smbkeys *k;
		size_t n;
		uint8_t *p = sealed_get(&sealed[i], &k, &n), *out = room(n);

		for (size_t bit = 0; bit < 8 * n; bit++) {
			p[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(seal_open(c, k, sealed[i].dir, p, n, out), -1);
			p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		/* A failure leaves nothing behind in the context. */
		assert_int_equal(seal_open(c, k, sealed[i].dir, p, n, out), 0);
		free(out);
		free(p);
		smbkeys_unref(&k);
	}
}

static void
seal_cut(void **state)
{
	struct crypt *c = *state;

	for (size_t i = 0; i < COUNT(sealed); i++) {
		struct smbkeys *k;
		size_t n;
		uint8_t *p = sealed_get(&sealed[i], &k, &n), *longer, *out;

		for (size_t cut = 0; cut < n; cut++) {
			uint8_t *q = exact(p, cut);

			out = room(cut);
			assert_int_equal(seal_open(c, k, sealed[i].dir, q, cut, out), -1);
			if (cut >= SMB2_TRANSFORM_LEN) {
				/* And when OriginalMessageSize agrees. */
				q[36] = (uint8_t)(cut - SMB2_TRANSFORM_LEN);
				assert_int_equal(seal_open(c, k, sealed[i].dir, q, cut, out), -1);
			}
			free(out);
			free(q);
		}
		longer = calloc(1, n + 1);
		out = room(n + 1);
		assert_non_null(longer);
		memcpy(longer, p, n);
		assert_int_equal(seal_open(c, k, sealed[i].dir, longer, n + 1, out), -1);
		longer[36]++;
		assert_int_equal(seal_open(c, k, sealed[i].dir, longer, n + 1, out), -1);
		free(out);
		free(longer);
		free(p);
		smbkeys_unref(&k);
	}
}

/* An authentic message that says what size it likes, made by other means. */
static void
forge(const struct smbkeys *k, uint32_t size, const uint8_t *plain, size_t n, uint8_t *out)
{
	static const char *const names[] = { "AES-128-CCM", "AES-128-GCM", "AES-256-CCM",
		"AES-256-GCM" };
	bool ccm = (k->cipher & 1) != 0;
	struct xform x = { .nonce = { 1, 2, 3 }, .original_size = size, .flags = 1 };
	struct wr w = wr_init(out, SMB2_TRANSFORM_LEN);
	EVP_CIPHER *e = EVP_CIPHER_fetch(NULL, names[k->cipher - 1], NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int m;

	xform_put(&w, &x);
	assert_int_equal(EVP_EncryptInit_ex2(ctx, e, NULL, NULL, NULL), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, ccm ? 11 : 12, NULL), 1);
	if (ccm)
		assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, NULL), 1);
	assert_int_equal(EVP_EncryptInit_ex2(ctx, NULL, smbkeys_s2c(k), x.nonce, NULL), 1);
	if (ccm)
		assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &m, NULL, (int)n), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &m, out + 20, 32), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, out + SMB2_TRANSFORM_LEN, &m, plain, (int)n), 1);
	assert_int_equal(EVP_EncryptFinal_ex(ctx, out + SMB2_TRANSFORM_LEN + n, &m), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + 4), 1);
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(e);
}

static void
seal_lies(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 79, 81, 80 + SMB2_TRANSFORM_LEN, 0x10050,
		0x80000050, UINT32_MAX };
	struct crypt *c = *state;
	uint8_t plain[80], out[80], frame[SMB2_TRANSFORM_LEN + 80];

	memset(plain, 0x42, sizeof(plain));
	for (size_t i = 0; i < COUNT(ciphers); i++) {
		struct smbkeys *k = keys_of(ciphers[i]);

		forge(k, 80, plain, 80, frame);
		assert_int_equal(seal_open(c, k, SEAL_S2C, frame, sizeof(frame), out), 0);
		assert_memory_equal(out, plain, 80);
		for (size_t j = 0; j < COUNT(sizes); j++) {
			forge(k, sizes[j], plain, 80, frame);
			assert_int_equal(seal_open(c, k, SEAL_S2C, frame, sizeof(frame), out), -1);
		}
		/* One that is empty, and authentic. */
		forge(k, 0, plain, 0, frame);
		assert_int_equal(seal_open(c, k, SEAL_S2C, frame, SMB2_TRANSFORM_LEN, out), -1);
		smbkeys_unref(&k);
	}
}

/* Every offset and every length. */
static void
peek_published(void **state)
{
	struct crypt *c = *state;

	for (size_t i = 0; i < COUNT(sealed); i++) {
		const struct sealed *s = &sealed[i];
		struct smbkeys *k;
		size_t n, body;
		uint8_t *p = sealed_get(s, &k, &n), *want = authvec_get(s->plain, &body), out[136];

		for (size_t off = 0; off <= body; off++) {
			for (size_t len = 0; len <= body - off; len++) {
				memset(out, 0xee, sizeof(out));
				assert_int_equal(seal_peek(c, k, s->dir, p + 20,
				    p + SMB2_TRANSFORM_LEN + off, off, len, out), 0);
				assert_memory_equal(out, want + off, len);
				assert_int_equal(out[len], 0xee);
			}
		}
		/* Nothing vouches for it: the other key gives other bytes, not an error. */
		assert_int_equal(seal_peek(c, k, back(s->dir), p + 20, p + SMB2_TRANSFORM_LEN, 0,
		    64, out), 0);
		assert_memory_not_equal(out, want, 64);
		free(want);
		free(p);
		smbkeys_unref(&k);
	}
}

static void
seal_round_trip(void **state)
{
	static const size_t sizes[] = { 1, 15, 16, 17, 31, 32, 33, 64, 77, 1000, 4096, 65535, 65536,
		1048577 };
	struct crypt *c = *state;

	for (size_t i = 0; i < 2 * COUNT(ciphers) * COUNT(sizes); i++) {
		/* Ciphers and directions take turns in one context. */
		struct smbkeys *k = keys_of(ciphers[i % COUNT(ciphers)]);
		enum seal_dir dir = i / COUNT(ciphers) % 2 == 0 ? SEAL_C2S : SEAL_S2C;
		size_t n = sizes[i / COUNT(ciphers) / 2];
		uint8_t *frame = malloc(SMB2_TRANSFORM_LEN + n), *plain = malloc(n),
		    *out = malloc(n);
		struct xform x;

		assert_non_null(frame);
		assert_non_null(plain);
		assert_non_null(out);
		for (size_t j = 0; j < n; j++)
			plain[j] = (uint8_t)(j * 7 + i);
		memcpy(frame + SMB2_TRANSFORM_LEN, plain, n);
		memset(frame, 0xee, SMB2_TRANSFORM_LEN);
		assert_int_equal(seal_make(c, k, dir, 0x8877665544332211, frame, n), 0);
		assert_int_equal(xform_get(&x, frame, SMB2_TRANSFORM_LEN + n), 0);
		assert_int_equal(x.original_size, n);
		assert_int_equal(x.flags, 1);
		assert_int_equal(frame[40] | frame[41], 0);
		assert_true(x.session_id == 0x8877665544332211);
		if (n >= 16)
			assert_memory_not_equal(frame + SMB2_TRANSFORM_LEN, plain, n);
		assert_int_equal(seal_open(c, k, dir, frame, SMB2_TRANSFORM_LEN + n, out), 0);
		assert_memory_equal(out, plain, n);
		assert_int_equal(seal_open(c, k, back(dir), frame, SMB2_TRANSFORM_LEN + n, out),
		    -1);
		frame[SMB2_TRANSFORM_LEN + n - 1] ^= 0x80;
		assert_int_equal(seal_open(c, k, dir, frame, SMB2_TRANSFORM_LEN + n, out), -1);
		free(out);
		free(plain);
		free(frame);
		smbkeys_unref(&k);
	}
}

/* The largest message: the counter's upper bytes move. */
static void
seal_largest(void **state)
{
	struct crypt *c = *state;
	size_t n = NBSS_LEN_MAX;
	uint8_t *plain = malloc(n), *out = malloc(n), *frame = malloc(SMB2_TRANSFORM_LEN + n + 1);

	assert_non_null(plain);
	assert_non_null(out);
	assert_non_null(frame);
	for (size_t j = 0; j < n; j++)
		plain[j] = (uint8_t)(j ^ j >> 8 ^ j >> 16);
	for (size_t i = 0; i < COUNT(ciphers); i++) {
		struct smbkeys *k = keys_of(ciphers[i]);

		memcpy(frame + SMB2_TRANSFORM_LEN, plain, n);
		assert_int_equal(seal_make(c, k, SEAL_S2C, 1, frame, n), 0);
		for (size_t off = 0; off < n; off += 40009) {
			size_t len = n - off < 1000 ? n - off : 1000;

			assert_int_equal(seal_peek(c, k, SEAL_S2C, frame + 20,
			    frame + SMB2_TRANSFORM_LEN + off, off, len, out), 0);
			assert_memory_equal(out, plain + off, len);
		}
		/* All at once, and where it stands. */
		assert_int_equal(seal_open(c, k, SEAL_S2C, frame, SMB2_TRANSFORM_LEN + n, out), 0);
		assert_memory_equal(out, plain, n);
		assert_int_equal(seal_peek(c, k, SEAL_S2C, frame + 20,
		    frame + SMB2_TRANSFORM_LEN, 0, n, frame + SMB2_TRANSFORM_LEN), 0);
		assert_memory_equal(frame + SMB2_TRANSFORM_LEN, plain, n);
		assert_int_equal(seal_make(c, k, SEAL_S2C, 1, frame, n + 1), -1);
		assert_int_equal(seal_peek(c, k, SEAL_S2C, frame + 20, frame, n + 1, 1, out), -1);
		assert_int_equal(seal_peek(c, k, SEAL_S2C, frame + 20, frame, 0, n + 1, out), -1);
		smbkeys_unref(&k);
	}
	free(frame);
	free(out);
	free(plain);
}

static void
seal_refused(void **state)
{
	struct crypt *c = *state;
	struct smbkeys *k = keys(SMB2_DIALECT_311, 0, SMB2_SIGNING_AES_CMAC, KEY_311, HASH_311);
	uint8_t frame[SMB2_TRANSFORM_LEN + 80] = { 0 }, out[80];

	assert_int_equal(seal_make(c, k, SEAL_S2C, 1, frame, 80), -1);
	assert_int_equal(seal_peek(c, k, SEAL_S2C, frame + 20, frame + SMB2_TRANSFORM_LEN, 0, 80,
	    out), -1);
	smbkeys_unref(&k);
	k = keys_of(SMB2_CIPHER_AES128_GCM);
	assert_int_equal(seal_make(c, k, SEAL_S2C, 1, frame, 0), -1);
	assert_int_equal(seal_make(c, k, SEAL_S2C, 1, frame, 80), 0);
	k->cipher = 0;
	assert_int_equal(seal_open(c, k, SEAL_S2C, frame, sizeof(frame), out), -1);
	smbkeys_unref(&k);
}

/* A peer whose cipher keys are of 16 bytes is understood once the other keys are in use. */
static void
seal_short_keys(void **state)
{
	struct crypt *c = *state;
	struct smbkeys *k = keys_of(SMB2_CIPHER_AES256_GCM),
	    *peer = keys(SMB2_DIALECT_311, SMB2_CIPHER_AES256_GCM, SMB2_SIGNING_AES_GMAC,
	        "202122232425262728292a2b2c2d2e2f", HASH_311);
	uint8_t frame[SMB2_TRANSFORM_LEN + 64] = { 0 }, out[64], zeros[64] = { 0 };

	assert_int_equal(seal_make(c, peer, SEAL_C2S, 1, frame, 64), 0);
	assert_int_equal(seal_open(c, k, SEAL_C2S, frame, sizeof(frame), out), -1);
	assert_true(smbkeys_try_short(k));
	assert_int_equal(seal_open(c, k, SEAL_C2S, frame, sizeof(frame), out), 0);
	assert_memory_equal(out, zeros, 64);
	memset(frame, 0, sizeof(frame));
	assert_int_equal(seal_make(c, k, SEAL_S2C, 1, frame, 64), 0);
	assert_int_equal(seal_open(c, peer, SEAL_S2C, frame, sizeof(frame), out), 0);
	smbkeys_unref(&peer);
	smbkeys_unref(&k);
}

#define NONCES 100000

static int
compare_nonces(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static void
seal_nonces(void **state)
{
	static const uint8_t zeros[16];
	struct crypt *c = *state;
	uint8_t (*seen)[16] = calloc(NONCES, sizeof(*seen)), frame[SMB2_TRANSFORM_LEN + 16] = { 0 };

	assert_non_null(seen);
	for (size_t i = 0; i < COUNT(ciphers); i++) {
		struct smbkeys *k = keys_of(ciphers[i]);
		size_t used = (ciphers[i] & 1) != 0 ? 11 : 12;
		uint8_t ones[16] = { 0 };

		for (size_t j = 0; j < NONCES; j++) {
			assert_int_equal(seal_make(c, k, SEAL_S2C, 1, frame, 16), 0);
			memcpy(seen[j], frame + 20, 16);
			for (size_t b = 0; b < 16; b++)
				ones[b] |= seen[j][b];
		}
		qsort(seen, NONCES, sizeof(seen[0]), compare_nonces);
		assert_memory_not_equal(seen[0], zeros, 16);
		for (size_t j = 1; j < NONCES; j++)
			assert_memory_not_equal(seen[j - 1], seen[j], 16);
		/* Every byte that counts is used, and no other. */
		for (size_t b = 0; b < 16; b++)
			assert_int_equal(ones[b], b < used ? 0xff : 0);
		smbkeys_unref(&k);
	}
	free(seen);
}

/* One context seals and signs in any order; GMAC and GCM share theirs. */
static void
context_shared(void **state)
{
	static const uint16_t algs[] = { SMB2_SIGNING_HMAC_SHA256, SMB2_SIGNING_AES_CMAC,
		SMB2_SIGNING_AES_GMAC };
	struct crypt *c = *state;

	for (size_t i = 0; i < COUNT(sealed) * COUNT(algs); i++) {
		const struct sealed *s = &sealed[i % COUNT(sealed)];
		struct signkey sk = { .alg = algs[i / COUNT(sealed)] };
		struct smbkeys *k;
		size_t n, body;
		uint8_t *p = sealed_get(s, &k, &n), *made = exact(p, n), *out = malloc(n),
		    *msg = authvec_get(s->plain, &body);

		assert_non_null(out);
		assert_int_equal(sign_make(c, &sk, msg, body), 0);
		p[n - 1] ^= 1;
		assert_int_equal(seal_open(c, k, s->dir, p, n, out), -1);
		p[n - 1] ^= 1;
		assert_true(sign_good(c, &sk, msg, body));
		assert_int_equal(seal_open(c, k, s->dir, p, n, out), 0);
		assert_true(sign_good(c, &sk, msg, body));
		memcpy(made + SMB2_TRANSFORM_LEN, msg, body);
		assert_int_equal(seal_make(c, k, s->dir, 1, made, body), 0);
		assert_int_equal(sign_make(c, &sk, msg, body), 0);
		assert_int_equal(seal_open(c, k, s->dir, p, n, out), 0);
		assert_int_equal(seal_open(c, k, s->dir, made, n, out), 0);
		assert_memory_equal(out, msg, body);
		assert_true(sign_good(c, &sk, out, body));
		free(msg);
		free(out);
		free(made);
		free(p);
		smbkeys_unref(&k);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(seal_published),
		cmocka_unit_test(seal_flipped),
		cmocka_unit_test(seal_cut),
		cmocka_unit_test(seal_lies),
		cmocka_unit_test(peek_published),
		cmocka_unit_test(seal_round_trip),
		cmocka_unit_test(seal_largest),
		cmocka_unit_test(seal_refused),
		cmocka_unit_test(seal_short_keys),
		cmocka_unit_test(seal_nonces),
		cmocka_unit_test(context_shared),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, crypt_setup, crypt_teardown);
}
