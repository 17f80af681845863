/*
 * otherssl.c: loaded into a program (LD_PRELOAD), it makes OpenSSL one that this machine has not:
 *
 *	OTHER_SSL=fips	no MD5, no SipHash: what a FIPS provider lacks of what smbgate could ask for
 *	OTHER_SSL=old	3.0.0 to 3.0.2: EVP_MAC_init() without a key does nothing, and says it did
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

static int
is(const char *kind)
{
	const char *s = getenv("OTHER_SSL");

	return s != NULL && strcmp(s, kind) == 0;
}

static void *
real(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (f == NULL)
		abort();
	return f;
}

unsigned char *
HMAC(const EVP_MD *md, const void *key, int len, const unsigned char *p, size_t n,
    unsigned char *out, unsigned *out_len)
{
	unsigned char *(*f)(const EVP_MD *, const void *, int, const unsigned char *, size_t,
	    unsigned char *, unsigned *) = real("HMAC");

	return is("fips") && EVP_MD_is_a(md, "MD5") ? NULL : f(md, key, len, p, n, out, out_len);
}

EVP_MAC *
EVP_MAC_fetch(OSSL_LIB_CTX *ctx, const char *name, const char *properties)
{
	EVP_MAC *(*f)(OSSL_LIB_CTX *, const char *, const char *) = real("EVP_MAC_fetch");

	return is("fips") && strcasecmp(name, "SIPHASH") == 0 ? NULL : f(ctx, name, properties);
}

EVP_MD *
EVP_MD_fetch(OSSL_LIB_CTX *ctx, const char *name, const char *properties)
{
	EVP_MD *(*f)(OSSL_LIB_CTX *, const char *, const char *) = real("EVP_MD_fetch");

	return is("fips") && strncasecmp(name, "MD", 2) == 0 ? NULL : f(ctx, name, properties);
}

int
EVP_MAC_init(EVP_MAC_CTX *ctx, const unsigned char *key, size_t len, const OSSL_PARAM *params)
{
	int (*f)(EVP_MAC_CTX *, const unsigned char *, size_t, const OSSL_PARAM *) =
	    real("EVP_MAC_init");

	return is("old") && key == NULL && params == NULL ? 1 : f(ctx, key, len, params);
}
