/* cluster.c: what the cluster secret is used for: authentic values, and keys that travel wrapped */
#include "config.h"

#include "auth/cluster.h"

#include "auth/secret.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#define KEY_LEN 32
#define NONCE_LEN 12
#define TAG_LEN 16

/* One key for each purpose: what is good for one of them is worth nothing for another. */
static int
derive(const struct secret *s, const char *label, uint8_t key[KEY_LEN])
{
	char text[64];
	int n = snprintf(text, sizeof(text), "smbgate cluster %s", label);
	unsigned len = KEY_LEN;

	return HMAC(EVP_sha256(), s->bytes, (int)s->len, (const uint8_t *)text, (size_t)n + 1, key,
	           &len) == NULL ? -1 : 0;
}

int
cluster_mac(const void *secret, const char *label, const void *a, size_t an, const void *b,
    size_t bn, uint8_t out[32])
{
	uint8_t text[4 + CLUSTER_MAC_MAX], key[KEY_LEN];
	unsigned len = 32;
	int r = -1;

	if (an > CLUSTER_MAC_MAX || bn > CLUSTER_MAC_MAX - an)
		return -1;
	for (int i = 0; i < 4; i++)
		text[i] = (uint8_t)(an >> (8 * i));
	memcpy(text + 4, a, an);
	if (bn > 0)
		memcpy(text + 4 + an, b, bn);
	if (derive(secret, label, key) == 0 &&
	    HMAC(EVP_sha256(), key, KEY_LEN, text, 4 + an + bn, out, &len) != NULL)
		r = 0;
	OPENSSL_cleanse(key, sizeof(key));
	return r;
}

static EVP_CIPHER_CTX *
context(const struct secret *s, const uint8_t *nonce, int encrypt)
{
	EVP_CIPHER_CTX *ctx = s->len == 0 ? NULL : EVP_CIPHER_CTX_new();
	uint8_t key[KEY_LEN];

	if (ctx != NULL && (derive(s, "wrap", key) == -1 ||
	    EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) != 1)) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	OPENSSL_cleanse(key, sizeof(key));
	return ctx;
}

int
cluster_wrap(const struct secret *s, const void *ad, size_t ad_len, const uint8_t *text, size_t n,
    uint8_t *out)
{
	EVP_CIPHER_CTX *ctx;
	int len, r = -1;

	if (RAND_bytes(out, NONCE_LEN) != 1)
		return -1;
	ctx = context(s, out, 1);
	if (ctx != NULL && EVP_EncryptUpdate(ctx, NULL, &len, ad, (int)ad_len) == 1 &&
	    EVP_EncryptUpdate(ctx, out + NONCE_LEN, &len, text, (int)n) == 1 &&
	    EVP_EncryptFinal_ex(ctx, out + NONCE_LEN + n, &len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, out + NONCE_LEN + n) == 1)
		r = 0;
	EVP_CIPHER_CTX_free(ctx);
	return r;
}

int
cluster_unwrap(const struct secret *s, const void *ad, size_t ad_len, const uint8_t *wrapped,
    size_t n, uint8_t *out)
{
	uint8_t tag[TAG_LEN];
	EVP_CIPHER_CTX *ctx;
	int len, r = -1;

	if (n < CLUSTER_WRAP_EXTRA)
		return -1;
	n -= CLUSTER_WRAP_EXTRA;
	memcpy(tag, wrapped + NONCE_LEN + n, TAG_LEN);
	ctx = context(s, wrapped, 0);
	if (ctx != NULL && EVP_DecryptUpdate(ctx, NULL, &len, ad, (int)ad_len) == 1 &&
	    EVP_DecryptUpdate(ctx, out, &len, wrapped + NONCE_LEN, (int)n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1 &&
	    EVP_DecryptFinal_ex(ctx, out + n, &len) == 1)
		r = 0;
	if (r == -1)
		OPENSSL_cleanse(out, n);
	EVP_CIPHER_CTX_free(ctx);
	return r;
}
