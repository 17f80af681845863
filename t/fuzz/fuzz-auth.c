/* fuzz-auth.c: libFuzzer target: tokens, NTLM messages, signatures and encrypted messages */
/* for: auth/spnego.c auth/ntlm.c auth/seal.c auth/sign.c */
#include "config.h"

#include "auth/crypt.h"
#include "auth/keys.h"
#include "auth/preauth.h"
#include "auth/seal.h"
#include "auth/sign.h"
#include "t/unit/lib/walkauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct smbkeys *
keys(uint16_t cipher)
{
	static const struct preauth preauth;
	static const uint8_t key[32] = "as good as any other, is this it";
	struct logon_facts f = { SMB2_DIALECT_311, cipher, SMB2_SIGNING_AES_CMAC, key, sizeof(key),
		&preauth };

	return smbkeys_derive(&f, KEYS_STANDARD);
}

/* A frame that opens is the one that a peek sees; no other is told from it by its length. */
static void
walk_sealed(struct crypt *c, const struct smbkeys *k, const uint8_t *p, size_t size)
{
	size_t body = size < SMB2_TRANSFORM_LEN ? 0 : size - SMB2_TRANSFORM_LEN, off;
	uint8_t *plain = malloc(body), *seen = malloc(body);

	HOLDS((plain != NULL && seen != NULL) || body == 0);
	if (body > 0) {
		off = p[0] % body;
		HOLDS(seal_peek(c, k, SEAL_S2C, p + 20, p + SMB2_TRANSFORM_LEN + off, off,
		    body - off, seen) == 0);
	}
	if (seal_open(c, k, SEAL_S2C, p, size, plain) == 0) {
		HOLDS(body > 0);
		off = p[0] % body;
		HOLDS(memcmp(plain + off, seen, body - off) == 0);
	}
	free(seen);
	free(plain);
}

/* The input as a message: sealed, it opens; cut or altered, it does not. */
static void
walk_round(struct crypt *c, const struct smbkeys *k, const uint8_t *p, size_t size)
{
	size_t len = SMB2_TRANSFORM_LEN + size;
	uint8_t *frame = malloc(len), *plain = malloc(size);

	HOLDS(frame != NULL && plain != NULL);
	memcpy(frame + SMB2_TRANSFORM_LEN, p, size);
	HOLDS(seal_make(c, k, SEAL_S2C, 1, frame, size) == 0);
	HOLDS(seal_open(c, k, SEAL_S2C, frame, len, plain) == 0);
	HOLDS(memcmp(plain, p, size) == 0);
	walk_sealed(c, k, frame, len);
	HOLDS(seal_open(c, k, SEAL_S2C, frame, len - 1, plain) == -1);
	frame[p[0] % len] ^= 0x10;
	HOLDS(seal_open(c, k, SEAL_S2C, frame, len, plain) == -1);
	free(plain);
	free(frame);
}

static void
walk_signed(struct crypt *c, const uint8_t *p, size_t size)
{
	struct signkey k = { .key = "any key will do" };
	uint8_t *msg = malloc(size);

	HOLDS(msg != NULL || size == 0);
	for (k.alg = 0; k.alg < 4; k.alg++) {
		if (size > 0)
			memcpy(msg, p, size);
		(void)!sign_good(c, &k, msg, size);
		if (sign_make(c, &k, msg, size) == 0) {
			HOLDS(sign_good(c, &k, msg, size));
			HOLDS(!sign_good(c, &k, msg, size - 1));
			msg[p[0] % size] ^= 0x20;
			HOLDS(!sign_good(c, &k, msg, size));
		} else {
			HOLDS(size == 0 || memcmp(msg, p, size) == 0);
		}
	}
	free(msg);
}

/* libFuzzer gives data in a block of its size. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct crypt *c;
	static struct smbkeys *k[4];

	if (c == NULL) {
		c = crypt_new();
		HOLDS(c != NULL);
		for (uint16_t i = 0; i < 4; i++) {
			k[i] = keys(i + 1);
			HOLDS(k[i] != NULL);
		}
	}
	(void)walk_token(data, size);
	(void)walk_ntlm(data, size);
	walk_signed(c, data, size);
	for (int i = 0; i < 4; i++) {
		walk_sealed(c, k[i], data, size);
		if (size > 0)
			walk_round(c, k[i], data, size);
	}
	return 0;
}
