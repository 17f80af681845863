/* tap_heads.c: pure: the headers of frames, cut out of a stream of them */
#include "config.h"

#include "proxy/tap_heads.h"

#include "base/rd.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/nbss.h"

#include <string.h>

/* Of what is no SMB2: [MS-CIFS] 2.2.3.1, [MS-SMB2] 2.2.41 and 2.2.42. */
#define SMB1_HDR 32
#define TRANSFORM_HDR 52
#define COMPRESSION_HDR 16

static uint32_t
frame_length(const uint8_t *p)
{
	return NBSS_HDR_LEN + ((uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}

/* The headers of a compound, of n bytes behind the transport header; the rest becomes zeros. */
static uint32_t
chain_cut(uint8_t *p, uint32_t n)
{
	uint32_t at = 0, end = 0;
	struct hdr2 h;

	while (hdr2_get(&h, p + at, n - at) == 0) {
		memset(p + end, 0, at - end);
		end = at + SMB2_HDR_LEN;
		if (h.next < SMB2_HDR_LEN || h.next > n - at)
			break;
		at += h.next;
	}
	return end;
}

/* How many of n bytes of a frame are headers. */
static uint32_t
heads_cut(uint8_t *p, uint32_t n)
{
	const uint32_t left = n - (n < NBSS_HDR_LEN ? n : NBSS_HDR_LEN);
	uint32_t len;

	if (left < 4 || p[0] != 0)
		return n - left;
	switch (p[NBSS_HDR_LEN]) {
	case 0xfe:
		len = chain_cut(p + NBSS_HDR_LEN, left);
		break;
	case 0xfd:
		len = TRANSFORM_HDR;
		break;
	case 0xfc:
		len = COMPRESSION_HDR;
		break;
	case 0xff:
		len = SMB1_HDR;
		break;
	default:
		len = 0;
	}
	return NBSS_HDR_LEN + (len < left ? len : left);
}

/* How much of the frame is kept before it is looked at. */
static uint32_t
heads_wanted(struct tap_heads *h)
{
	if (h->have < NBSS_HDR_LEN)
		return NBSS_HDR_LEN;
	h->whole = frame_length(h->bytes);
	return h->whole < TAP_HEADS_MAX ? h->whole : TAP_HEADS_MAX;
}

size_t
tap_heads_feed(struct tap_heads *h, const uint8_t *p, size_t n)
{
	size_t used = h->rest < n ? h->rest : n;
	uint32_t want;

	h->rest -= (uint32_t)used;
	h->len = 0;
	while (h->have < (want = heads_wanted(h)) && used < n) {
		uint32_t step = want - h->have;

		if (step > n - used)
			step = (uint32_t)(n - used);
		memcpy(h->bytes + h->have, p + used, step);
		h->have += step;
		used += step;
	}
	if (h->have == want && h->rest == 0) {
		h->len = heads_cut(h->bytes, h->have);
		h->rest = h->whole - h->have;
		h->have = 0;
	}
	return used;
}
