/* heap.h: keeps the heap, where libkrb5 and OpenSSL have copies of keys, from being swapped out */
#ifndef KEYD_HEAP_H
#define KEYD_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct heap {
	bool all;		/* all memory of the process is locked */
	bool warned;
	size_t limit;		/* how much may be locked */
	char *start;		/* of malloc()'s memory; NULL: not known */
};

/* While files can be read, and limits be set. Locks all memory, if there is no limit to that. */
void heap_init(struct heap *h);

/* When keys have come. reserve: bytes that others must be able to lock. Warns once if it fails. */
void heap_lock(struct heap *h, size_t reserve);

#endif
