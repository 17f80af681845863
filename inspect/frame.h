/* frame.h: make a new frame out of a held one by exchanging some of its messages */
#ifndef INSPECT_FRAME_H
#define INSPECT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wr.h"

struct part2;

/*
 * Messages are exchanged in the order of the frame; all others are copied byte for byte, so their
 * signatures stay good: a NextCommand speaks of its own message only. Nothing is written before
 * the first exchange.
 */
struct rewrite {
	struct wr w;
	const uint8_t *msg;	/* the frame behind its transport header */
	size_t len;
	size_t done;		/* of msg */
	size_t start;		/* of the message being written */
	bool changed;
};

/* msg: a frame behind its transport header; dst must not overlap it. */
void rewrite_init(struct rewrite *r, const uint8_t *msg, size_t len, uint8_t *dst, size_t cap);

/*
 * Between the two the caller writes the new message, header first, to the returned writer. The
 * end fixes NextCommand and padding.
 */
struct wr *rewrite_begin(struct rewrite *r, const struct part2 *p);
void rewrite_end(struct rewrite *r, const struct part2 *p);

/* Length of the new frame, transport header included, or 0 when it did not fit. */
size_t rewrite_finish(struct rewrite *r);

#endif
