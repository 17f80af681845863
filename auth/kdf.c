/* kdf.c: SMB 3's key derivation function: SP800-108 in counter mode with HMAC-SHA256 */
#include "config.h"

#include "auth/kdf.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

/* Longest output, label and context that SMB knows. */
#define OUT_MAX 32
#define KEY_MAX 64
#define TEXT_MAX 64

int
kdf(uint8_t *out, size_t out_len, unsigned bits, const uint8_t *key, size_t key_len,
    const void *label, size_t label_len, const void *context, size_t context_len)
{
	char mode[] = "COUNTER", mac[] = "HMAC", digest[] = "SHA256";
	uint8_t k[KEY_MAX], l[TEXT_MAX], c[TEXT_MAX], t[OUT_MAX];
	EVP_KDF *f = EVP_KDF_fetch(NULL, "KBKDF", NULL);
	EVP_KDF_CTX *ctx = f == NULL ? NULL : EVP_KDF_CTX_new(f);
	OSSL_PARAM p[7];
	int r = -1;

	/* OpenSSL takes parameters through pointers that are not const: copies, wiped below. */
	if (ctx != NULL && key_len <= sizeof(k) && label_len <= sizeof(l) &&
	    context_len <= sizeof(c) && bits / 8 <= sizeof(t) && out_len <= bits / 8) {
		memcpy(k, key, key_len);
		memcpy(l, label, label_len);
		memcpy(c, context, context_len);
		p[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, mode, 0);
		p[1] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MAC, mac, 0);
		p[2] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
		p[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, k, key_len);
		p[4] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, l, label_len);
		p[5] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, c, context_len);
		p[6] = OSSL_PARAM_construct_end();
		if (EVP_KDF_derive(ctx, t, bits / 8, p) == 1) {
			memcpy(out, t, out_len);
			r = 0;
		}
		OPENSSL_cleanse(k, sizeof(k));
		OPENSSL_cleanse(t, sizeof(t));
	}
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(f);
	return r;
}
