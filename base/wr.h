/* wr.h: bounds-checked little-endian writer into a fixed range; errors are sticky */
#ifndef BASE_WR_H
#define BASE_WR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The twin of struct rd. What does not fit is not written at all and marks the writer bad;
 * wr_ok() is asked once at the end. Lengths that are known late are patched with wr_*_at().
 */
struct wr {
	uint8_t *base;
	size_t cap;
	size_t pos;
	bool bad;
};

/* The range is borrowed and must outlive the writer. */
static inline struct wr
wr_init(void *data, size_t cap)
{
	return (struct wr){ .base = data, .cap = cap };
}

static inline bool
wr_ok(const struct wr *w)
{
	return !w->bad;
}

/* Bytes written so far. */
static inline size_t
wr_len(const struct wr *w)
{
	return w->pos;
}

void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_be24(struct wr *w, uint32_t v);
void wr_bytes(struct wr *w, const void *src, size_t n);
void wr_zero(struct wr *w, size_t n);

/* Zero bytes until the length counted from `from` is a multiple of `align` (a power of two). */
void wr_pad(struct wr *w, size_t from, size_t align);

/* Overwrite what was written before; bad when [off, off+size) is not wholly behind pos. */
void wr_u16_at(struct wr *w, size_t off, uint16_t v);
void wr_u32_at(struct wr *w, size_t off, uint32_t v);

#endif
