/* kdf.h: SMB 3's key derivation function: SP800-108 in counter mode with HMAC-SHA256 */
#ifndef AUTH_KDF_H
#define AUTH_KDF_H

#include <stddef.h>
#include <stdint.h>

/*
 * [MS-SMB2] 3.1.4.2: out[0..out_len) of the L = bits long output for a label and a context, both
 * as they go into the function: with their terminating zero where the specification has one. 0, or
 * -1 when memory or the algorithm is missing.
 */
int kdf(uint8_t *out, size_t out_len, unsigned bits, const uint8_t *key, size_t key_len,
    const void *label, size_t label_len, const void *context, size_t context_len)
    __attribute__((warn_unused_result));

#endif
