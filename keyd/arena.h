/* arena.h: memory for keys: locked, in no core file, wiped before it is given back */
#ifndef KEYD_ARENA_H
#define KEYD_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* What is in it lives as long as it. All zero: none. */
struct arena {
	uint8_t *base;
	size_t size;
	size_t used;
};

/* 0, or -1 with a static text: memory that cannot be locked is not taken. */
int arena_init(struct arena *a, size_t size, const char **why_r)
    __attribute__((warn_unused_result));
void arena_fini(struct arena *a);

/* Zeroed and aligned for anything, or NULL when it does not fit. */
void *arena_alloc(struct arena *a, size_t n);

#endif
