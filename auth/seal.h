/* seal.h: open and make encrypted messages, and peek into them */
#ifndef AUTH_SEAL_H
#define AUTH_SEAL_H

#include <stddef.h>
#include <stdint.h>

struct crypt;
struct smbkeys;
struct xform;

enum seal_dir { SEAL_C2S, SEAL_S2C };

/*
 * Opens a whole encrypted message, [MS-SMB2] 3.1.4.3, 3.3.5.2.1.1: frame from the TRANSFORM header
 * on. plain has room for len - SMB2_TRANSFORM_LEN bytes and may not overlap. 0, or -1 when the tag
 * is not that of these keys (plain is then worth nothing) or the lengths disagree.
 */
int seal_open(struct crypt *c, const struct smbkeys *k, enum seal_dir dir, const uint8_t *frame,
    size_t len, uint8_t *plain) __attribute__((warn_unused_result));

/*
 * Seals the len bytes at out + SMB2_TRANSFORM_LEN in place and puts the TRANSFORM header before
 * them, with a nonce out of the random generator. -1 when that or the cipher fails.
 */
int seal_make(struct crypt *c, const struct smbkeys *k, enum seal_dir dir, uint64_t session_id,
    uint8_t *out, size_t len) __attribute__((warn_unused_result));

/*
 * CCM and GCM are counter mode inside, [NIST SP800-38C], [SP800-38D]: n bytes of plaintext from
 * offset off (a multiple of 16 is cheapest) on, for the price of a few blocks. Nothing vouches for
 * them: they may choose what is looked at, and nothing else. -1 without a cipher.
 */
int seal_peek(struct crypt *c, const struct smbkeys *k, enum seal_dir dir, const uint8_t nonce[16],
    const uint8_t *sealed, size_t off, size_t n, uint8_t *out) __attribute__((warn_unused_result));

#endif
