/* classify.h: pure: protocol facts and the head of a frame to a verdict */
#ifndef INSPECT_CLASSIFY_H
#define INSPECT_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/verdict.h"

struct hdr2;
struct track;

/* The longest frame that is held, transport header included: a SESSION_SETUP of 64 KiB. */
#define HOLD_MAX (4 + 65536 + 1024)

/*
 * The first frames of a client, before anything is agreed on: everything is held, up to the first
 * frame's limit.
 */
struct verdict classify_first(const struct track *t, const uint8_t *p, size_t avail);

/*
 * A frame of a connection that has its node. p is the transport header. No side effects.
 * VERDICT_PARTS: parts_head() is to be asked. peeked is set where a frame passes that is sealed or
 * compressed: to the header of the one message in it, or, where that was not looked at, to
 * HDR2_NO_COMMAND.
 */
struct verdict classify(const struct track *t, enum dir dir, const uint8_t *p, size_t avail,
    struct hdr2 *peeked);

/* An answer from a client: whoever takes it for a request has been fooled. */
bool classify_backwards(enum dir dir, const struct hdr2 *h);

/*
 * Must this message of a frame, len bytes long, be seen? p has its first avail bytes, 72 if it has
 * so many.
 */
bool classify_seen(const struct track *t, enum dir dir, const struct hdr2 *h, const uint8_t *p,
    size_t avail, size_t len);

#endif
