/* nbss.c: the 4-byte header in front of every SMB message on TCP */
#include "config.h"

#include "smb/nbss.h"

#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"

int
nbss_get(struct nbss *n, const uint8_t *p, size_t avail)
{
	/* Of a length that the compiler knows, as in hdr2_get(). */
	struct rd r = rd_init(p, NBSS_HDR_LEN);

	*n = (struct nbss){ 0 };
	if (avail < NBSS_HDR_LEN)
		return -1;
	n->type = rd_u8(&r);
	n->len = rd_be24(&r);
	return 0;
}

void
nbss_put(uint8_t dst[4], uint32_t len)
{
	dst[0] = 0;
	dst[1] = (uint8_t)(len >> 16);
	dst[2] = (uint8_t)(len >> 8);
	dst[3] = (uint8_t)len;
}

void
nbss_begin(struct wr *w)
{
	wr_zero(w, NBSS_HDR_LEN);
}

void
nbss_end(struct wr *w)
{
	if (wr_ok(w) && wr_len(w) >= NBSS_HDR_LEN && wr_len(w) - NBSS_HDR_LEN <= NBSS_LEN_MAX)
		nbss_put(w->base, (uint32_t)(wr_len(w) - NBSS_HDR_LEN));
	else
		w->bad = true;
}
