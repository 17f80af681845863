/* preauth.c: the running preauthentication integrity hash of SMB 3.1.1 */
#include "config.h"

#include "auth/preauth.h"

#include "auth/crypt.h"

#include <openssl/evp.h>

int
preauth_add(struct crypt *c, struct preauth *h, const uint8_t *msg, size_t len)
{
	/* Without an algorithm: that of the context, which need not be looked up again. */
	return EVP_DigestInit_ex2(c->sha512, NULL, NULL) == 1 &&
	               EVP_DigestUpdate(c->sha512, h->hash, sizeof(h->hash)) == 1 &&
	               EVP_DigestUpdate(c->sha512, msg, len) == 1 &&
	               EVP_DigestFinal_ex(c->sha512, h->hash, NULL) == 1
	           ? 0
	           : -1;
}
