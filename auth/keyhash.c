/* keyhash.c: keyed 64-bit hash for placement: the same answer in every proxy of a cluster */
#include "config.h"

#include "auth/keyhash.h"

#include "auth/secret.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>

#define KEY_LEN 16
#define HASH_LEN 8

struct keyhash {
	EVP_MAC_CTX *ctx;
	uint8_t key[KEY_LEN];
};

struct keyhash *
keyhash_new(const struct secret *s)
{
	static const uint8_t label[] = "smbgate placement";
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = sizeof(digest);
	struct keyhash *k = calloc(1, sizeof(*k));
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);

	if (k == NULL || mac == NULL)
		goto fail;
	k->ctx = EVP_MAC_CTX_new(mac);
	if (k->ctx == NULL ||
	    HMAC(EVP_sha256(), s->bytes, (int)s->len, label, sizeof(label), digest, &n) == NULL)
		goto fail;
	memcpy(k->key, digest, KEY_LEN);
	OPENSSL_cleanse(digest, sizeof(digest));
	EVP_MAC_free(mac);
	return k;
fail:
	EVP_MAC_free(mac);
	keyhash_free(&k);
	return NULL;
}

void
keyhash_free(struct keyhash **k)
{
	if (*k != NULL) {
		EVP_MAC_CTX_free((*k)->ctx);
		OPENSSL_cleanse(*k, sizeof(**k));
		free(*k);
	}
	*k = NULL;
}

uint64_t
keyhash(struct keyhash *k, const void *a, size_t an, const void *b, size_t bn)
{
	size_t want = HASH_LEN, n = 0;
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &want),
		OSSL_PARAM_construct_end(),
	};
	uint8_t out[HASH_LEN];
	uint64_t h = 0;

	/* Cannot fail once the context exists; a failure would still give one hash for all. */
	if (EVP_MAC_init(k->ctx, k->key, KEY_LEN, params) != 1 ||
	    EVP_MAC_update(k->ctx, a, an) != 1 || EVP_MAC_update(k->ctx, b, bn) != 1 ||
	    EVP_MAC_final(k->ctx, out, &n, sizeof(out)) != 1)
		return 0;
	for (size_t i = 0; i < HASH_LEN; i++)
		h |= (uint64_t)out[i] << (8 * i);
	return h;
}
