/* siphash.h: SipHash-2-4, a keyed 64-bit hash */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_LEN 16

/*
 * Of a[0..an) followed by b[0..bn); who does not know the key cannot choose inputs that meet. Own,
 * because OpenSSL's is not in every provider (FIPS), and all proxies of a cluster must agree.
 */
uint64_t siphash(const uint8_t key[SIPHASH_KEY_LEN], const void *a, size_t an, const void *b,
    size_t bn);

#endif
