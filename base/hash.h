/* hash.h: the hash of uthash's tables, by eight bytes at a time; to be included before that */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Tables go by the low bits, and a product has mixed the high ones. */
static inline uint64_t
hash_step(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

/*
 * A connection's keys are looked for and put in a dozen times from accept to close, and are short:
 * addresses, GUIDs, numbers, names of nodes. uthash's own function takes them byte by byte. Like
 * that one it has no secret: it spreads keys, and is no match for who chooses them to collide.
 */
static inline unsigned
hash_bytes(const void *key, size_t n)
{
	const uint8_t *p = key;
	uint64_t h = n, word;

	for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		h = hash_step(h, word);
	}
	word = 0;
	memcpy(&word, p, n);
	return (unsigned)hash_step(h, word);
}

/* uthash's own name for what it calls in the place of its own. */
#define HASH_FUNCTION(key, n, h) ((h) = hash_bytes(key, n))

/*
 * Without this, uthash ends the process where it gets no memory. With it, what was not put in is
 * out of any table: hash_has() says so, and everyone who puts something in has to ask.
 */
#define HASH_NONFATAL_OOM 1
#define hash_has(x) ((x)->hh.tbl != NULL)

#endif
