/* seen.h: logons that were answered: none is answered twice within a day */
#ifndef KEYD_SEEN_H
#define KEYD_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"

/* So many are known at the least, the newest, and those of so many seconds if they are fewer. */
#define SEEN_MAX 786432
#define SEEN_S (24 * 3600)

/* Digests in an open hash table; 0 is an empty slot. */
struct seen_half {
	uint64_t *slot;
	size_t size, n;			/* slots, a power of 2; digests */
};

/* Two of them: when the young one is old or full it becomes the old one, which is forgotten. */
struct seen {
	uint8_t key[SIPHASH_KEY_LEN];	/* random: nobody makes digests meet */
	struct seen_half young, old;
	uint64_t since_s;		/* of the young one */
};

/* Of what tells one logon from all others: a[0..an) followed by b[0..bn). */
uint64_t seen_digest(const struct seen *s, const void *a, size_t an, const void *b, size_t bn);
bool seen_has(const struct seen *s, uint64_t digest);
/* Times of one clock. -1 when memory is out: it is not remembered. */
int seen_add(struct seen *s, uint64_t digest, uint64_t now_s) __attribute__((warn_unused_result));
void seen_fini(struct seen *s);

#endif
