/* frame.c: make a new frame out of a held one by exchanging some of its messages */
#include "config.h"

#include "inspect/frame.h"

#include "smb/chain2.h"
#include "smb/const.h"
#include "smb/nbss.h"

/* Offset of NextCommand in the header, [MS-SMB2] 2.2.1. */
#define HDR2_NEXT 20

void
rewrite_init(struct rewrite *r, const uint8_t *msg, size_t len, uint8_t *dst, size_t cap)
{
	*r = (struct rewrite){ .w = wr_init(dst, cap), .msg = msg, .len = len };
}

struct wr *
rewrite_begin(struct rewrite *r, const struct part2 *p)
{
	if (!r->changed)
		wr_zero(&r->w, NBSS_HDR_LEN);
	r->changed = true;
	wr_bytes(&r->w, r->msg + r->done, p->off - r->done);
	r->done = p->off + p->len;
	r->start = wr_len(&r->w);
	return &r->w;
}

void
rewrite_end(struct rewrite *r, const struct part2 *p)
{
	uint32_t next = 0;

	if (!p->last) {
		/* [MS-SMB2] 3.2.4.1.4: the next header starts on a multiple of 8. */
		wr_pad(&r->w, r->start, 8);
		next = (uint32_t)(wr_len(&r->w) - r->start);
	}
	wr_u32_at(&r->w, r->start + HDR2_NEXT, next);
}

size_t
rewrite_finish(struct rewrite *r)
{
	size_t n;

	wr_bytes(&r->w, r->msg + r->done, r->len - r->done);
	n = wr_len(&r->w);
	if (!wr_ok(&r->w) || n - NBSS_HDR_LEN > NBSS_LEN_MAX)
		return 0;
	nbss_put(r->w.base, (uint32_t)(n - NBSS_HDR_LEN));
	return n;
}
