/* magic.h: checks, in developer builds, that a callback's void * is what it is taken for */
#ifndef BASE_MAGIC_H
#define BASE_MAGIC_H

/*
 *	struct conn {
 *		MAGIC_MEMBER
 *		...
 *	};
 *	MAGIC_SET(c, CONN_MAGIC);	where it is made
 *	MAGIC_CLEAR(c);			where it is freed
 *	MAGIC_CHECK(c, CONN_MAGIC);	where it comes out of a void *
 *
 * A wrong pointer is our own fault, never a peer's: the process stops there and then. Without
 * --enable-developer nothing of this is compiled, nor takes up a byte.
 */
#ifdef SMBGATE_DEVELOPER
#include <stdlib.h>

#define MAGIC_MEMBER unsigned magic;
#define MAGIC_SET(p, m) ((p)->magic = (m))
#define MAGIC_CLEAR(p) ((p)->magic = 0)
#define MAGIC_CHECK(p, m) magic_check((p)->magic, (m))

static inline void
magic_check(unsigned is, unsigned must_be)
{
	if (is != must_be)
		abort();
}
#else
#define MAGIC_MEMBER
#define MAGIC_SET(p, m) ((void)0)
#define MAGIC_CLEAR(p) ((void)0)
#define MAGIC_CHECK(p, m) ((void)0)
#endif

#endif
