/* keyhash.c: keyed 64-bit hash for placement: the same answer in every proxy of a cluster */
#include "config.h"

#include "auth/keyhash.h"

#include "auth/secret.h"
#include "base/siphash.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

struct keyhash {
	uint8_t key[SIPHASH_KEY_LEN];
};

struct keyhash *
keyhash_new(const struct secret *s)
{
	static const uint8_t label[] = "smbgate placement";
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = sizeof(digest);
	struct keyhash *k = calloc(1, sizeof(*k));

	if (k == NULL || HMAC(EVP_sha256(), s->bytes, (int)s->len, label, sizeof(label), digest,
	                     &n) == NULL) {
		free(k);
		return NULL;
	}
	memcpy(k->key, digest, sizeof(k->key));
	OPENSSL_cleanse(digest, sizeof(digest));
	return k;
}

void
keyhash_free(struct keyhash **k)
{
	if (*k != NULL) {
		OPENSSL_cleanse(*k, sizeof(**k));
		free(*k);
	}
	*k = NULL;
}

uint64_t
keyhash(const struct keyhash *k, const void *a, size_t an, const void *b, size_t bn)
{
	return siphash(k->key, a, an, b, bn);
}
