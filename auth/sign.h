/* sign.h: sign and verify one SMB2 message */
#ifndef AUTH_SIGN_H
#define AUTH_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crypt;

#define SIGN_KEY_LEN 16

/* A signing key and what it is used with: SMB2_SIGNING_* of smb/const.h, HMAC below 3.0. */
struct signkey {
	uint16_t alg;
	uint8_t key[SIGN_KEY_LEN];
};

/*
 * [MS-SMB2] 3.1.4.1. msg: one message of a frame from its header to where the next one begins,
 * padding included. Sets SMB2_FLAGS_SIGNED and the Signature in place. -1, and it is as it was: too
 * short, no such algorithm, or a MessageId that GMAC must not sign.
 */
int sign_make(struct crypt *c, const struct signkey *k, uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));

/* Does the message carry SMB2_FLAGS_SIGNED and the signature of this key? [MS-SMB2] 3.1.5.1. */
bool sign_good(struct crypt *c, const struct signkey *k, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));

#endif
