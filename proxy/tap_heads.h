/* tap_heads.h: pure: the headers of frames, cut out of a stream of them */
#ifndef PROXY_TAP_HEADS_H
#define PROXY_TAP_HEADS_H

#include <stddef.h>
#include <stdint.h>

/* Of a compound, those headers that are not further from the frame's first byte. */
#define TAP_HEADS_MAX 1024

/* All zeros: between frames. */
struct tap_heads {
	uint32_t have;		/* bytes of the frame that have been kept */
	uint32_t rest;		/* bytes of a frame to come that are not */
	/* Of a frame whose headers are complete; len 0: none is. */
	uint32_t len;
	uint32_t whole;		/* its length, transport header included */
	uint8_t bytes[TAP_HEADS_MAX];
};

/*
 * Takes bytes in any cut, up to where the headers of a frame are complete: how many were used.
 * The transport header, and that of each message behind it; between the headers of a compound are
 * zeros.
 */
size_t tap_heads_feed(struct tap_heads *h, const uint8_t *p, size_t n);

#endif
