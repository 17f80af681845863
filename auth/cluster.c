/* cluster.c: what the cluster secret is used for: authentic values, and keys that travel wrapped */
#include "config.h"

#include "auth/cluster.h"

#include "auth/secret.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#define KEY_LEN 32
#define SALT_LEN 24
#define TAG_LEN 16
#define LABELS_MAX 8
#define LABEL_MAX 16

struct purpose {
	char label[LABEL_MAX];
	EVP_MAC_CTX *ctx;	/* with its key, to be copied; NULL: not used yet */
};

struct cluster {
	const struct secret *secret;
	EVP_MAC *hmac;
	pthread_mutex_t lock;	/* of the rest: a leaf */
	struct purpose purpose[LABELS_MAX];
};

/* One key for each purpose: what is good for one of them is worth nothing for another. */
static int
derive_purpose(const struct secret *s, const char *label, uint8_t key[KEY_LEN])
{
	char text[64];
	int n = snprintf(text, sizeof(text), "smbgate cluster %s", label);
	unsigned len = KEY_LEN;

	return HMAC(EVP_sha256(), s->bytes, (int)s->len, (const uint8_t *)text, (size_t)n + 1, key,
	           &len) == NULL ? -1 : 0;
}

struct cluster *
cluster_new(const struct secret *s)
{
	struct cluster *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->secret = s;
	c->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	pthread_mutex_init(&c->lock, NULL);
	if (c->hmac == NULL)
		cluster_free(&c);
	return c;
}

void
cluster_free(struct cluster **cp)
{
	struct cluster *c = *cp;

	if (c == NULL)
		return;
	for (size_t i = 0; i < LABELS_MAX; i++)
		EVP_MAC_CTX_free(c->purpose[i].ctx);
	EVP_MAC_free(c->hmac);
	pthread_mutex_destroy(&c->lock);
	free(c);
	*cp = NULL;
}

/* A context that has the key of that label. NULL when memory is out. */
static EVP_MAC_CTX *
mac_context(const struct cluster *c, const char *label)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(c->hmac);
	uint8_t key[KEY_LEN];

	if (ctx != NULL &&
	    (derive_purpose(c->secret, label, key) == -1 ||
	        EVP_MAC_init(ctx, key, KEY_LEN, params) != 1)) {
		EVP_MAC_CTX_free(ctx);
		ctx = NULL;
	}
	OPENSSL_cleanse(key, sizeof(key));
	return ctx;
}

/* The same, made once. The lock is held. */
static EVP_MAC_CTX *
context_of(struct cluster *c, const char *label)
{
	for (size_t i = 0; i < LABELS_MAX; i++) {
		struct purpose *p = &c->purpose[i];

		if (p->ctx != NULL && strcmp(p->label, label) != 0)
			continue;
		if (p->ctx == NULL) {
			p->ctx = mac_context(c, label);
			snprintf(p->label, sizeof(p->label), "%s", label);
		}
		return p->ctx;
	}
	return NULL;
}

int
cluster_mac(const void *cluster, const char *label, const void *a, size_t an, const void *b,
    size_t bn, uint8_t out[32])
{
	struct cluster *c = (struct cluster *)(uintptr_t)cluster;
	uint8_t len[4];
	EVP_MAC_CTX *ctx;
	size_t n;
	bool good;

	if (an > CLUSTER_MAC_MAX || bn > CLUSTER_MAC_MAX - an)
		return -1;
	for (int i = 0; i < 4; i++)
		len[i] = (uint8_t)(an >> (8 * i));
	pthread_mutex_lock(&c->lock);
	ctx = context_of(c, label);
	/* A copy: before 3.0.3, OpenSSL's HMAC does not begin anew without being given its key. */
	ctx = ctx == NULL ? NULL : EVP_MAC_CTX_dup(ctx);
	pthread_mutex_unlock(&c->lock);
	good = ctx != NULL && EVP_MAC_update(ctx, len, sizeof(len)) == 1 &&
	    EVP_MAC_update(ctx, a, an) == 1 && (bn == 0 || EVP_MAC_update(ctx, b, bn) == 1) &&
	    EVP_MAC_final(ctx, out, &n, 32) == 1;
	EVP_MAC_CTX_free(ctx);
	return good ? 0 : -1;
}

/*
 * With a key of this one text's: the cluster has one secret for years, and random nonces under one
 * key would meet after some billion texts. So the salt is long, and the nonce needs no value.
 */
static EVP_CIPHER_CTX *
wrap_context(const struct secret *s, const uint8_t salt[SALT_LEN], int encrypt)
{
	static const uint8_t nonce[12];
	EVP_CIPHER_CTX *ctx = s->len == 0 ? NULL : EVP_CIPHER_CTX_new();
	uint8_t all[KEY_LEN], key[KEY_LEN];
	unsigned len = sizeof(key);

	if (ctx != NULL && (derive_purpose(s, "wrap", all) == -1 ||
	    HMAC(EVP_sha256(), all, sizeof(all), salt, SALT_LEN, key, &len) == NULL ||
	    EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) != 1)) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	OPENSSL_cleanse(all, sizeof(all));
	OPENSSL_cleanse(key, sizeof(key));
	return ctx;
}

int
cluster_wrap(const struct secret *s, const void *ad, size_t ad_len, const uint8_t *text, size_t n,
    uint8_t *out)
{
	EVP_CIPHER_CTX *ctx;
	int len, r = -1;

	if (RAND_bytes(out, SALT_LEN) != 1)
		return -1;
	ctx = wrap_context(s, out, 1);
	if (ctx != NULL && EVP_EncryptUpdate(ctx, NULL, &len, ad, (int)ad_len) == 1 &&
	    EVP_EncryptUpdate(ctx, out + SALT_LEN, &len, text, (int)n) == 1 &&
	    EVP_EncryptFinal_ex(ctx, out + SALT_LEN + n, &len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, out + SALT_LEN + n) == 1)
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
	memcpy(tag, wrapped + SALT_LEN + n, TAG_LEN);
	ctx = wrap_context(s, wrapped, 0);
	if (ctx != NULL && EVP_DecryptUpdate(ctx, NULL, &len, ad, (int)ad_len) == 1 &&
	    EVP_DecryptUpdate(ctx, out, &len, wrapped + SALT_LEN, (int)n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1 &&
	    EVP_DecryptFinal_ex(ctx, out + n, &len) == 1)
		r = 0;
	if (r == -1)
		OPENSSL_cleanse(out, n);
	EVP_CIPHER_CTX_free(ctx);
	return r;
}
