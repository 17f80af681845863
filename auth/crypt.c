/* crypt.c: one thread's cipher, MAC and digest contexts, set up once and keyed for each use */
#include "config.h"

#include "auth/crypt.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

static EVP_CIPHER_CTX *
crypt_cipher(const char *name)
{
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, name, NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (c == NULL || ctx == NULL || EVP_EncryptInit_ex2(ctx, c, NULL, NULL, NULL) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	EVP_CIPHER_free(c);
	return ctx;
}

static EVP_MAC_CTX *
crypt_mac(const char *name, const char *key, const char *value)
{
	char *text = NULL;
	OSSL_PARAM p[2];
	EVP_MAC *m = EVP_MAC_fetch(NULL, name, NULL);
	EVP_MAC_CTX *ctx = m == NULL ? NULL : EVP_MAC_CTX_new(m);

	/* OpenSSL takes parameters through a pointer that it does not write through. */
	text = OPENSSL_strdup(value);
	p[0] = OSSL_PARAM_construct_utf8_string(key, text, 0);
	p[1] = OSSL_PARAM_construct_end();
	if (ctx != NULL && (text == NULL || EVP_MAC_CTX_set_params(ctx, p) != 1)) {
		EVP_MAC_CTX_free(ctx);
		ctx = NULL;
	}
	OPENSSL_free(text);
	EVP_MAC_free(m);
	return ctx;
}

static EVP_MD_CTX *
crypt_digest(const char *name)
{
	EVP_MD *m = EVP_MD_fetch(NULL, name, NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (m == NULL || ctx == NULL || EVP_DigestInit_ex2(ctx, m, NULL) != 1) {
		EVP_MD_CTX_free(ctx);
		ctx = NULL;
	}
	EVP_MD_free(m);
	return ctx;
}

struct crypt *
crypt_new(void)
{
	struct crypt *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->ctr[0] = crypt_cipher("AES-128-CTR");
	c->ctr[1] = crypt_cipher("AES-256-CTR");
	c->gcm[0] = crypt_cipher("AES-128-GCM");
	c->gcm[1] = crypt_cipher("AES-256-GCM");
	c->ccm[0] = crypt_cipher("AES-128-CCM");
	c->ccm[1] = crypt_cipher("AES-256-CCM");
	c->cmac = crypt_mac("CMAC", OSSL_MAC_PARAM_CIPHER, "AES-128-CBC");
	c->hmac = crypt_mac("HMAC", OSSL_MAC_PARAM_DIGEST, "SHA256");
	c->sha512 = crypt_digest("SHA512");
	if (c->ctr[0] == NULL || c->ctr[1] == NULL || c->gcm[0] == NULL || c->gcm[1] == NULL ||
	    c->ccm[0] == NULL || c->ccm[1] == NULL || c->cmac == NULL || c->hmac == NULL ||
	    c->sha512 == NULL)
		crypt_free(&c);
	return c;
}

void
crypt_free(struct crypt **cp)
{
	struct crypt *c = *cp;

	if (c == NULL)
		return;
	for (int i = 0; i < 2; i++) {
		EVP_CIPHER_CTX_free(c->ctr[i]);
		EVP_CIPHER_CTX_free(c->gcm[i]);
		EVP_CIPHER_CTX_free(c->ccm[i]);
	}
	EVP_MAC_CTX_free(c->cmac);
	EVP_MAC_CTX_free(c->hmac);
	EVP_MD_CTX_free(c->sha512);
	free(c);
	*cp = NULL;
}
