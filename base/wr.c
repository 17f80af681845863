/* wr.c: bounds-checked little-endian writer into a fixed range; errors are sticky */
#include "config.h"

#include "base/wr.h"

#include <string.h>

static uint8_t *
room(struct wr *w, size_t n)
{
	uint8_t *p;

	if (w->bad || n > w->cap - w->pos) {
		w->bad = true;
		return NULL;
	}
	p = w->base + w->pos;
	w->pos += n;
	return p;
}

static void
store(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void
put(struct wr *w, uint64_t v, size_t n)
{
	uint8_t *p = room(w, n);

	if (p != NULL)
		store(p, v, n);
}

static void
put_at(struct wr *w, size_t off, uint64_t v, size_t n)
{
	if (w->bad || off > w->pos || n > w->pos - off) {
		w->bad = true;
		return;
	}
	store(w->base + off, v, n);
}

void
wr_u8(struct wr *w, uint8_t v)
{
	put(w, v, 1);
}

void
wr_u16(struct wr *w, uint16_t v)
{
	put(w, v, 2);
}

void
wr_u32(struct wr *w, uint32_t v)
{
	put(w, v, 4);
}

void
wr_u64(struct wr *w, uint64_t v)
{
	put(w, v, 8);
}

void
wr_be24(struct wr *w, uint32_t v)
{
	uint8_t *p = room(w, 3);

	if (p == NULL)
		return;
	p[0] = (uint8_t)(v >> 16);
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)v;
}

void
wr_bytes(struct wr *w, const void *src, size_t n)
{
	uint8_t *p = room(w, n);

	if (p != NULL && n > 0)
		memcpy(p, src, n);
}

void
wr_zero(struct wr *w, size_t n)
{
	uint8_t *p = room(w, n);

	if (p != NULL && n > 0)
		memset(p, 0, n);
}

void
wr_pad(struct wr *w, size_t from, size_t align)
{
	if (from > w->pos) {
		w->bad = true;
		return;
	}
	wr_zero(w, (align - ((w->pos - from) & (align - 1))) & (align - 1));
}

void
wr_u16_at(struct wr *w, size_t off, uint16_t v)
{
	put_at(w, off, v, 2);
}

void
wr_u32_at(struct wr *w, size_t off, uint32_t v)
{
	put_at(w, off, v, 4);
}
