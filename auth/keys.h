/* keys.h: the keys of one SMB session, derived from what its logon agreed on */
#ifndef AUTH_KEYS_H
#define AUTH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/sign.h"

struct preauth;

/* What a logon and its connection agreed on. */
struct logon_facts {
	uint16_t dialect;
	uint16_t cipher;	/* SMB2_CIPHER_*; 0: none */
	uint16_t signing;	/* SMB2_SIGNING_* */
	const uint8_t *key;	/* the GSS key at its real length, [MS-SMB2] 3.3.5.5.3 */
	size_t key_len;
	const struct preauth *preauth;	/* 3.1.1 */
};

/*
 * Two deviations are known in the field, both with AES-256 ciphers: cipher keys made of the first
 * 16 bytes of a longer GSS key, and a signing key made as if it had 256 bits. The latter shows in
 * the first signature, the former only when something is decrypted.
 */
enum keys_variant { KEYS_STANDARD, KEYS_LONG_SIGNING, KEYS_VARIANTS };

/*
 * The keys of a session, shared by its channels on all threads and counted: signing is that of the
 * first channel (a bound channel has its own), the cipher keys are everybody's.
 */
struct smbkeys {
	unsigned refs;			/* atomic; by smbkeys_ref() and smbkeys_unref() alone */
	unsigned short_cipher_keys;	/* atomic; see smbkeys_try_short() */
	unsigned proven;		/* atomic; SMBKEYS_SIGN and SMBKEYS_SEAL */
	uint16_t dialect;
	uint16_t cipher;
	struct signkey signing;
	struct { uint8_t c2s[32], s2c[32]; } cipher_key[2];	/* standard, and of 16 bytes */
};

/* Session.SigningKey or Channel.SigningKey, [MS-SMB2] 3.3.5.5.3. -1 when memory is out. */
int signkey_derive(struct signkey *k, const struct logon_facts *f, enum keys_variant v)
    __attribute__((warn_unused_result));

/* All of a session, with one reference. NULL when memory is out. */
struct smbkeys *smbkeys_derive(const struct logon_facts *f, enum keys_variant v);
struct smbkeys *smbkeys_ref(struct smbkeys *k);
/* The last one wipes. Clears the caller's pointer. */
void smbkeys_unref(struct smbkeys **k);

/* Bytes of a cipher key: 16 or 32; 0 without a cipher. */
size_t smbkeys_cipher_len(const struct smbkeys *k);
const uint8_t *smbkeys_c2s(const struct smbkeys *k);
const uint8_t *smbkeys_s2c(const struct smbkeys *k);

/* A signature was theirs, a message was opened with them: until then they are a guess. */
#define SMBKEYS_SIGN 1u
#define SMBKEYS_SEAL 2u
void smbkeys_prove(struct smbkeys *k, unsigned what);
bool smbkeys_proven(const struct smbkeys *k, unsigned what);

/* As bytes, for another proxy, and back: NULL where they are none, or memory is out. */
#define SMBKEYS_LEN 152
void smbkeys_put(const struct smbkeys *k, uint8_t out[SMBKEYS_LEN]);
struct smbkeys *smbkeys_get(const uint8_t in[SMBKEYS_LEN]);

/* Both ends seem to use the other cipher keys. False when there are none, or they are in use. */
bool smbkeys_try_short(struct smbkeys *k);

#endif
