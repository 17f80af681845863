/* seal.c: open and make encrypted messages, and peek into them */
#include "config.h"

#include "auth/seal.h"

#include "auth/crypt.h"
#include "auth/keys.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/xform.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define TAG_LEN 16
#define BLOCK 16
/* [MS-SMB2] 2.2.41: how much of the Nonce field each mode uses. */
#define CCM_NONCE 11
#define GCM_NONCE 12

/* What is authenticated besides the message: the header from its Nonce on, [MS-SMB2] 2.2.41. */
#define AAD_OFF 20
#define AAD_LEN (SMB2_TRANSFORM_LEN - AAD_OFF)

static bool
is_ccm(const struct smbkeys *k)
{
	return k->cipher == SMB2_CIPHER_AES128_CCM || k->cipher == SMB2_CIPHER_AES256_CCM;
}

static const uint8_t *
key_of(const struct smbkeys *k, enum seal_dir dir)
{
	return dir == SEAL_C2S ? smbkeys_c2s(k) : smbkeys_s2c(k);
}

static EVP_CIPHER_CTX *
aead(struct crypt *c, const struct smbkeys *k)
{
	int wide = smbkeys_cipher_len(k) == 32;

	return is_ccm(k) ? c->ccm[wide] : c->gcm[wide];
}

/* Key and nonce; in CCM also the tag's and the message's length, which it needs first. */
static int
seal_begin(EVP_CIPHER_CTX *ctx, const struct smbkeys *k, const uint8_t *key, const uint8_t *nonce,
    int encrypt, uint8_t *tag, size_t len)
{
	int n;

	if (!is_ccm(k))
		return EVP_CipherInit_ex2(ctx, NULL, key, nonce, encrypt, NULL) == 1 ? 0 : -1;
	return EVP_CipherInit_ex2(ctx, NULL, NULL, NULL, encrypt, NULL) == 1 &&
	        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, CCM_NONCE, NULL) == 1 &&
	        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1 &&
	        EVP_CipherInit_ex2(ctx, NULL, key, nonce, encrypt, NULL) == 1 &&
	        EVP_CipherUpdate(ctx, NULL, &n, NULL, (int)len) == 1 ? 0 : -1;
}

int
seal_open(struct crypt *c, const struct smbkeys *k, enum seal_dir dir, const uint8_t *frame,
    size_t len, uint8_t *plain)
{
	EVP_CIPHER_CTX *ctx = aead(c, k);
	struct xform x;
	size_t body;
	int n, m;

	if (k->cipher == 0 || xform_get(&x, frame, len) == -1)
		return -1;
	body = len - SMB2_TRANSFORM_LEN;
	if (x.original_size != body || body == 0 || body > INT_MAX ||
	    seal_begin(ctx, k, key_of(k, dir), x.nonce, 0, x.signature, body) == -1 ||
	    EVP_DecryptUpdate(ctx, NULL, &n, frame + AAD_OFF, AAD_LEN) != 1)
		return -1;
	/* CCM checks its tag with the last byte, GCM at the end. */
	if (EVP_DecryptUpdate(ctx, plain, &n, frame + SMB2_TRANSFORM_LEN, (int)body) != 1)
		return -1;
	if (is_ccm(k))
		return (size_t)n == body ? 0 : -1;
	return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, x.signature) == 1 &&
	        EVP_DecryptFinal_ex(ctx, plain + n, &m) == 1 && (size_t)(n + m) == body ? 0 : -1;
}

int
seal_make(struct crypt *c, const struct smbkeys *k, enum seal_dir dir, uint64_t session_id,
    uint8_t *out, size_t len)
{
	EVP_CIPHER_CTX *ctx = aead(c, k);
	uint8_t *body = out + SMB2_TRANSFORM_LEN;
	struct xform x = { .flags = 1, .session_id = session_id };
	struct wr w = wr_init(out, SMB2_TRANSFORM_LEN);
	int n, m;

	/* Never the nonce of the message that this one replaces. */
	if (k->cipher == 0 || len == 0 || len > NBSS_LEN_MAX ||
	    RAND_bytes(x.nonce, is_ccm(k) ? CCM_NONCE : GCM_NONCE) != 1)
		return -1;
	x.original_size = (uint32_t)len;
	xform_put(&w, &x);
	if (seal_begin(ctx, k, key_of(k, dir), x.nonce, 1, NULL, len) == -1 ||
	    EVP_EncryptUpdate(ctx, NULL, &n, out + AAD_OFF, AAD_LEN) != 1 ||
	    EVP_EncryptUpdate(ctx, body, &n, body, (int)len) != 1 ||
	    EVP_EncryptFinal_ex(ctx, body + n, &m) != 1 || (size_t)(n + m) != len ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, x.signature) != 1)
		return -1;
	w = wr_init(out, SMB2_TRANSFORM_LEN);
	xform_put(&w, &x);
	return wr_ok(&w) ? 0 : -1;
}

/* The counter block of the block'th block of a message; block counts from 0. */
static void
counter(const struct smbkeys *k, const uint8_t nonce[16], uint32_t block, uint8_t out[BLOCK])
{
	uint32_t n;

	memset(out, 0, BLOCK);
	if (is_ccm(k)) {
		/* A_i, i from 1 on: flags say that the length has 4 bytes, SP800-38C A.3. */
		out[0] = 15 - CCM_NONCE - 1;
		memcpy(out + 1, nonce, CCM_NONCE);
		n = block + 1;
	} else {
		/* J0 has 1 and is the tag's, SP800-38D 7.1. */
		memcpy(out, nonce, GCM_NONCE);
		n = block + 2;
	}
	out[12] = (uint8_t)(n >> 24);
	out[13] = (uint8_t)(n >> 16);
	out[14] = (uint8_t)(n >> 8);
	out[15] = (uint8_t)n;
}

int
seal_peek(struct crypt *c, const struct smbkeys *k, enum seal_dir dir, const uint8_t nonce[16],
    const uint8_t *sealed, size_t off, size_t n, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = c->ctr[smbkeys_cipher_len(k) == 32];
	uint8_t block[BLOCK], waste[BLOCK] = { 0 };
	int m;

	if (k->cipher == 0 || off > NBSS_LEN_MAX || n > NBSS_LEN_MAX)
		return -1;
	counter(k, nonce, (uint32_t)(off / BLOCK), block);
	if (EVP_EncryptInit_ex2(ctx, NULL, key_of(k, dir), block, NULL) != 1 ||
	    (off % BLOCK != 0 &&
	        EVP_EncryptUpdate(ctx, waste, &m, waste, (int)(off % BLOCK)) != 1) ||
	    EVP_EncryptUpdate(ctx, out, &m, sealed, (int)n) != 1)
		return -1;
	return 0;
}
