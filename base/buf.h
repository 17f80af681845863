/* buf.h: a growing run of bytes that holds no memory while empty */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 *	data[0 .. done)		given away, dead
 *	data[done .. len)	the bytes
 *	data[len .. cap)	room
 *
 * All zero is an empty buffer. Memory is freed with the last byte, so an idle connection owns
 * none. Growth follows what has arrived, never what a peer claims will come.
 */
struct buf {
	uint8_t *data;
	size_t done, len, cap;
};

static inline size_t
buf_len(const struct buf *b)
{
	return b->len - b->done;
}

static inline uint8_t *
buf_head(const struct buf *b)
{
	return b->data + b->done;
}

static inline void
buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .data = NULL };
}

/* Room for n bytes behind the last one: where to write them, or NULL when memory is out. */
static inline uint8_t *
buf_room(struct buf *b, size_t n)
{
	uint8_t *p;
	size_t cap;

	if (b->cap - b->len >= n)
		return b->data + b->len;
	if (b->done > 0) {
		memmove(b->data, b->data + b->done, buf_len(b));
		b->len -= b->done;
		b->done = 0;
		if (b->cap - b->len >= n)
			return b->data + b->len;
	}
	cap = b->cap < 1024 ? 1024 : b->cap;
	while (cap - b->len < n)
		cap *= 2;
	p = realloc(b->data, cap);
	if (p == NULL)
		return NULL;
	b->data = p;
	b->cap = cap;
	return p + b->len;
}

/* n bytes of the room have been filled. */
static inline void
buf_filled(struct buf *b, size_t n)
{
	b->len += n;
}

/* -1 when memory is out. */
static inline int __attribute__((warn_unused_result))
buf_add(struct buf *b, const void *src, size_t n)
{
	uint8_t *p;

	if (n == 0)
		return 0;
	p = buf_room(b, n);
	if (p == NULL)
		return -1;
	memcpy(p, src, n);
	b->len += n;
	return 0;
}

/* The first n bytes are done with. */
static inline void
buf_drain(struct buf *b, size_t n)
{
	b->done += n;
	if (b->done >= b->len)
		buf_fini(b);
}

#endif
