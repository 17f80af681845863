/* keyhash.h: keyed 64-bit hash for placement: the same answer in every proxy of a cluster */
#ifndef AUTH_KEYHASH_H
#define AUTH_KEYHASH_H

#include <stddef.h>
#include <stdint.h>

struct secret;
struct keyhash;

/*
 * SipHash-2-4 under a key derived from the cluster secret, so that nobody can choose ClientGuids
 * that all end up on one node. Without a secret (len 0) the key is a constant: placement is then
 * still the same after a restart. For any thread. NULL when memory is out.
 */
struct keyhash *keyhash_new(const struct secret *s);
void keyhash_free(struct keyhash **k);

/* The hash of a[0..an) followed by b[0..bn). */
uint64_t keyhash(const struct keyhash *k, const void *a, size_t an, const void *b, size_t bn);

#endif
