/* xform.c: the TRANSFORM header in front of encrypted messages */
#include "config.h"

#include "smb/xform.h"

#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"

int
xform_get(struct xform *x, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);
	uint32_t protocol;

	protocol = rd_u32(&r);
	rd_copy(&r, x->signature, sizeof(x->signature));
	rd_copy(&r, x->nonce, sizeof(x->nonce));
	x->original_size = rd_u32(&r);
	rd_skip(&r, 2);
	x->flags = rd_u16(&r);
	x->session_id = rd_u64(&r);
	return rd_ok(&r) && protocol == SMB2_TRANSFORM_ID ? 0 : -1;
}

void
xform_put(struct wr *w, const struct xform *x)
{
	wr_u32(w, SMB2_TRANSFORM_ID);
	wr_bytes(w, x->signature, sizeof(x->signature));
	wr_bytes(w, x->nonce, sizeof(x->nonce));
	wr_u32(w, x->original_size);
	wr_u16(w, 0);
	wr_u16(w, x->flags);
	wr_u64(w, x->session_id);
}
