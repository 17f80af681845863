/* rd.h: bounds-checked reader over a byte range; errors are sticky */
#ifndef BASE_RD_H
#define BASE_RD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * A reader never touches a byte outside its range. The first access that would do so marks it
 * bad; from then on every getter returns 0 (or NULL) and moves nothing, so that a parser reads
 * all its fields in a row and asks rd_ok() once at the end.
 */
struct rd {
	const uint8_t *base;
	size_t len;
	size_t pos;
	bool bad;
};

/* The range is borrowed: it must outlive the reader and everything rd_bytes() returned. */
static inline struct rd
rd_init(const void *data, size_t len)
{
	return (struct rd){ .base = data, .len = len };
}

static inline bool
rd_ok(const struct rd *r)
{
	return !r->bad;
}

/* Bytes not read yet; 0 when bad. */
static inline size_t
rd_left(const struct rd *r)
{
	return r->bad ? 0 : r->len - r->pos;
}

/* n bytes in place (valid as long as the range), or NULL. rd_bytes(r, 0) is not NULL when good. */
static inline const uint8_t *
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

static inline uint8_t
rd_u8(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 1);

	return p == NULL ? 0 : p[0];
}

static inline uint16_t
rd_u16(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 2);

	return p == NULL ? 0 : (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t
rd_u32(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 4);

	if (p == NULL)
		return 0;
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t
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

static inline void
rd_skip(struct rd *r, size_t n)
{
	(void)rd_bytes(r, n);
}

/* Copies n bytes to dst; fills dst with zeros when bad. */
static inline void
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

/* Big-endian, for what is not SMB: the header on TCP, PROXY headers, keytabs. */
uint16_t rd_be16(struct rd *r);
uint32_t rd_be32(struct rd *r);

static inline uint32_t
rd_be24(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 3);

	return p == NULL ? 0 : (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

/* Moves to an absolute position of the range; off == len is allowed (nothing left). */
void rd_seek(struct rd *r, size_t off);

/*
 * The sub-range [off, off+n) of the same bytes as a reader of its own. Where it does not fit,
 * both r and the result are bad.
 */
static inline struct rd
rd_sub(struct rd *r, size_t off, size_t n)
{
	if (r->bad || off > r->len || n > r->len - off) {
		r->bad = true;
		return (struct rd){ .bad = true };
	}
	return rd_init(r->base + off, n);
}

#endif
