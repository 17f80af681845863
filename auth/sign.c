/* sign.c: sign and verify one SMB2 message */
#include "config.h"

#include "auth/sign.h"

#include "auth/crypt.h"
#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/hdr2.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* Offsets in the header, [MS-SMB2] 2.2.1. */
#define HDR2_FLAGS 16
#define HDR2_SIGNATURE 48
#define MAC_LEN 16

static const uint8_t zeros[MAC_LEN];

static int
sign_mac(EVP_MAC_CTX *ctx, const struct signkey *k, const uint8_t *msg, size_t len, uint8_t *out)
{
	uint8_t full[EVP_MAX_MD_SIZE];
	size_t n;

	if (EVP_MAC_init(ctx, k->key, sizeof(k->key), NULL) != 1 ||
	    EVP_MAC_update(ctx, msg, HDR2_SIGNATURE) != 1 ||
	    EVP_MAC_update(ctx, zeros, sizeof(zeros)) != 1 ||
	    EVP_MAC_update(ctx, msg + SMB2_HDR_LEN, len - SMB2_HDR_LEN) != 1 ||
	    EVP_MAC_final(ctx, full, &n, sizeof(full)) != 1 || n < MAC_LEN)
		return -1;
	memcpy(out, full, MAC_LEN);
	return 0;
}

/* [MS-SMB2] 3.1.4.1: the nonce is the MessageId and who sends what. */
static int
sign_gmac(EVP_CIPHER_CTX *ctx, const struct signkey *k, const struct hdr2 *h, const uint8_t *msg,
    size_t len, uint8_t *out)
{
	uint8_t nonce[12];
	struct wr w = wr_init(nonce, sizeof(nonce));
	int n;

	if (h->message_id == 0 || h->message_id == UINT64_MAX)
		return -1;
	wr_u64(&w, h->message_id);
	wr_u32(&w, ((h->flags & SMB2_FLAGS_SERVER_TO_REDIR) != 0 ? 1u : 0) |
	        (h->command == SMB2_CANCEL ? 2u : 0));
	return EVP_EncryptInit_ex2(ctx, NULL, k->key, nonce, NULL) == 1 &&
	        EVP_EncryptUpdate(ctx, NULL, &n, msg, HDR2_SIGNATURE) == 1 &&
	        EVP_EncryptUpdate(ctx, NULL, &n, zeros, sizeof(zeros)) == 1 &&
	        EVP_EncryptUpdate(ctx, NULL, &n, msg + SMB2_HDR_LEN,
	            (int)(len - SMB2_HDR_LEN)) == 1 &&
	        EVP_EncryptFinal_ex(ctx, out, &n) == 1 &&
	        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, MAC_LEN, out) == 1 ? 0 : -1;
}

/* Of a message of which hdr2_get() is content and that a frame can hold. */
static int
signature(struct crypt *c, const struct signkey *k, const struct hdr2 *h, const uint8_t *msg,
    size_t len, uint8_t out[MAC_LEN])
{
	switch (k->alg) {
	case SMB2_SIGNING_HMAC_SHA256:
		return sign_mac(c->hmac, k, msg, len, out);
	case SMB2_SIGNING_AES_CMAC:
		return sign_mac(c->cmac, k, msg, len, out);
	case SMB2_SIGNING_AES_GMAC:
		return sign_gmac(c->gcm[0], k, h, msg, len, out);
	default:
		return -1;
	}
}

int
sign_make(struct crypt *c, const struct signkey *k, uint8_t *msg, size_t len)
{
	uint8_t out[MAC_LEN];
	struct wr w = wr_init(msg, len);
	struct hdr2 h;

	if (len > NBSS_LEN_MAX || hdr2_get(&h, msg, len) == -1)
		return -1;
	w.pos = HDR2_FLAGS;
	wr_u32(&w, h.flags | SMB2_FLAGS_SIGNED);
	if (signature(c, k, &h, msg, len, out) == -1) {
		/* Or it would claim a signature that it has not got. */
		w.pos = HDR2_FLAGS;
		wr_u32(&w, h.flags);
		return -1;
	}
	memcpy(msg + HDR2_SIGNATURE, out, MAC_LEN);
	return 0;
}

bool
sign_good(struct crypt *c, const struct signkey *k, const uint8_t *msg, size_t len)
{
	uint8_t out[MAC_LEN];
	struct hdr2 h;

	return len <= NBSS_LEN_MAX && hdr2_get(&h, msg, len) == 0 &&
	    (h.flags & SMB2_FLAGS_SIGNED) != 0 && signature(c, k, &h, msg, len, out) == 0 &&
	    CRYPTO_memcmp(out, h.signature, MAC_LEN) == 0;
}
