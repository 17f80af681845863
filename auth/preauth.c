/* preauth.c: the running preauthentication integrity hash of SMB 3.1.1 */
#include "config.h"

#include "auth/preauth.h"

#include <openssl/evp.h>

int
preauth_add(struct preauth *h, const uint8_t *msg, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r = -1;

	if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha512(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, h->hash, sizeof(h->hash)) == 1 &&
	    EVP_DigestUpdate(ctx, msg, len) == 1 && EVP_DigestFinal_ex(ctx, h->hash, NULL) == 1)
		r = 0;
	EVP_MD_CTX_free(ctx);
	return r;
}
