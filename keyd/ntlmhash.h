/* ntlmhash.h: what NTLM is made of: MD4, DES, RC4 and HMAC-MD5 */
#ifndef KEYD_NTLMHASH_H
#define KEYD_NTLMHASH_H

#include <stddef.h>
#include <stdint.h>

#include "keyd/answer.h"

#define NTLM_HASH_LEN 16

/*
 * MD4, RFC 1320, of an NT hash, and RC4 of one key. Own: OpenSSL has them, if at all, in a provider
 * that few machines load.
 */
void ntlm_md4(uint8_t out[NTLM_HASH_LEN], const uint8_t in[NTLM_HASH_LEN]);
void ntlm_rc4(uint8_t out[NTLM_HASH_LEN], const uint8_t key[NTLM_HASH_LEN],
    const uint8_t in[NTLM_HASH_LEN]);

/* Each 0, or -1 where OpenSSL does not have it. */
int ntlm_hmac_md5(uint8_t out[NTLM_HASH_LEN], const uint8_t key[NTLM_HASH_LEN], const uint8_t *p,
    size_t n) __attribute__((warn_unused_result));
int ntlm_md5(uint8_t out[NTLM_HASH_LEN], const uint8_t *p, size_t n)
    __attribute__((warn_unused_result));
/* [MS-NLMP] 6: DESL. */
#define NTLM_DESL_LEN 24
int ntlm_desl(uint8_t out[NTLM_DESL_LEN], const uint8_t key[NTLM_HASH_LEN], const uint8_t in[8])
    __attribute__((warn_unused_result));

/* Are they what they should be? -1: why says what is missing. */
int ntlm_hash_selftest(char why[KEYD_WHY]) __attribute__((warn_unused_result));

#endif
