/* rd.c: bounds-checked little-endian reader over a byte range; errors are sticky */
#include "config.h"

#include "base/rd.h"

#include <string.h>

const uint8_t *
rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p;

	if (r->bad || n > r->len - r->pos) {
		r->bad = true;
		return NULL;
	}
	p = r->base + r->pos;
	r->pos += n;
	return p;
}

uint8_t
rd_u8(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 1);

	return p == NULL ? 0 : p[0];
}

uint16_t
rd_u16(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 2);

	return p == NULL ? 0 : (uint16_t)(p[0] | p[1] << 8);
}

uint32_t
rd_u32(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 4);

	if (p == NULL)
		return 0;
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t
rd_u64(struct rd *r)
{
	uint64_t lo, hi;

	/* One check for all eight, so that a half-read value is never returned. */
	if (rd_left(r) < 8) {
		r->bad = true;
		return 0;
	}
	lo = rd_u32(r);
	hi = rd_u32(r);
	return lo | hi << 32;
}

uint32_t
rd_be24(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 3);

	return p == NULL ? 0 : (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

void
rd_copy(struct rd *r, void *dst, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (n == 0)
		return;
	if (p == NULL)
		memset(dst, 0, n);
	else
		memcpy(dst, p, n);
}

void
rd_skip(struct rd *r, size_t n)
{
	(void)rd_bytes(r, n);
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

struct rd
rd_sub(struct rd *r, size_t off, size_t n)
{
	if (r->bad || off > r->len || n > r->len - off) {
		r->bad = true;
		return (struct rd){ .bad = true };
	}
	return rd_init(r->base + off, n);
}
