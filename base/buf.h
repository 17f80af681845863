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
 * Memory is freed with the last byte, so an idle connection owns none, and all that it has of a
 * buffer is a pointer. Growth follows what has arrived, never what a peer claims will come.
 */
struct buf_mem {
	size_t done, len, cap;
	uint8_t data[];
};

/* The least that is allocated. */
#define BUF_MIN 256

/* NULL: empty. */
struct buf {
	struct buf_mem *mem;
};

static inline size_t
buf_len(const struct buf *b)
{
	return b->mem == NULL ? 0 : b->mem->len - b->mem->done;
}

/* The memory that it has. */
static inline size_t
buf_size(const struct buf *b)
{
	return b->mem == NULL ? 0 : sizeof(*b->mem) + b->mem->cap;
}

/* The first byte; NULL when there is none. */
static inline uint8_t *
buf_head(const struct buf *b)
{
	return b->mem == NULL ? NULL : b->mem->data + b->mem->done;
}

static inline void
buf_fini(struct buf *b)
{
	free(b->mem);
	b->mem = NULL;
}

/* Room for n bytes behind the last one: where to write them, or NULL when memory is out. */
static inline uint8_t *
buf_room(struct buf *b, size_t n)
{
	struct buf_mem *m = b->mem;
	size_t len = m == NULL ? 0 : m->len, cap = m == NULL ? 0 : m->cap;

	if (cap - len >= n)
		return m->data + len;
	if (m != NULL && m->done > 0) {
		len = m->len -= m->done;
		memmove(m->data, m->data + m->done, len);
		m->done = 0;
		if (cap - len >= n)
			return m->data + len;
	}
	/* Mostly one small frame waits; a burst of new connections must not leave big holes. */
	if (cap < BUF_MIN - sizeof(*m))
		cap = BUF_MIN - sizeof(*m);
	while (cap - len < n)
		cap *= 2;
	m = realloc(m, sizeof(*m) + cap);
	if (m == NULL)
		return NULL;
	if (b->mem == NULL)
		m->done = m->len = 0;
	m->cap = cap;
	b->mem = m;
	return m->data + len;
}

/* n bytes of the room have been filled. */
static inline void
buf_filled(struct buf *b, size_t n)
{
	b->mem->len += n;
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
	buf_filled(b, n);
	return 0;
}

/* The first n bytes are done with. */
static inline void
buf_drain(struct buf *b, size_t n)
{
	if (n >= buf_len(b))
		buf_fini(b);
	else
		b->mem->done += n;
}

#endif
