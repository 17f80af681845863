/* rd.c: bounds-checked reader over a byte range; errors are sticky */
#include "config.h"

#include "base/rd.h"

uint16_t
rd_be16(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 2);

	return p == NULL ? 0 : (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t
rd_be32(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 4);

	if (p == NULL)
		return 0;
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void
rd_seek(struct rd *r, size_t off)
{
	if (r->bad || off > r->len) {
		r->bad = true;
		return;
	}
	r->pos = off;
}
