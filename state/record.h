/* record.h: what Redis is given to keep, sealed so that nobody else can have written it */
#ifndef STATE_RECORD_H
#define STATE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "state/names.h"
#include "state/state.h"

/*
 * What state/ needs of cryptography, handed in from above. mac: HMAC-SHA256 of a, b under a key of
 * its own for each label. From any thread. 0, or -1.
 */
struct record_seal {
	const void *arg;
	int (*mac)(const void *arg, const char *label, const void *a, size_t an, const void *b,
	    size_t bn, uint8_t out[32]);
};

/* Proxies of another one are not in the same map: see tick.lua. */
#define RECORD_VERSION '3'
#define RECORD_HEAD 16		/* version and time */
#define RECORD_TAG 16
#define RECORD_WHEN_MAX UINT64_C(999999999999999)	/* until the year 33658 */
/* The longest node identity, and some room: more than this is nobody's record. */
#define RECORD_MAX (RECORD_HEAD + STATE_NODE_LEN + RECORD_TAG)

struct record {
	size_t len;		/* 0: none */
	char bytes[RECORD_MAX];
};

/* The first NAMES_ID_LEN bytes of a MAC as the name of something. -1 when memory is out. */
int record_id(const struct record_seal *s, const char *label, const void *p, size_t n,
    uint8_t id[NAMES_ID_LEN]) __attribute__((warn_unused_result));
void record_hex(const uint8_t *p, size_t n, char *dst);
/* -1 when these are not 2 * n lower-case hex digits. */
int record_unhex(uint8_t *dst, size_t n, const char *text) __attribute__((warn_unused_result));

/*
 * A record of text, made at when_ms, about what is named. r->len is 0 when it cannot be made. text
 * is a node's identity, or a word.
 */
void record_make(struct record *r, const struct record_seal *s, const char *label,
    const void *name, size_t name_len, uint64_t when_ms, const char *text);
/* -1: it is not what record_make() made about that name. text has STATE_NODE_LEN bytes. */
int record_get(const char *bytes, size_t len, const struct record_seal *s, const char *label,
    const void *name, size_t name_len, uint64_t *when_ms, char *text)
    __attribute__((warn_unused_result));

#endif
