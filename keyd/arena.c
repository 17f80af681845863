/* arena.c: memory for keys: locked, in no core file, wiped before it is given back */
#include "config.h"

#include "keyd/arena.h"

#include <stdalign.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

int
arena_init(struct arena *a, size_t size, const char **why_r)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*a = (struct arena){ .size = 0 };
	if (p == MAP_FAILED) {
		*why_r = "no memory for keys";
		return -1;
	}
	/* mlock2() without flags is mlock(), and nothing else than the kernel answers it. */
	if (mlock2(p, size, 0) == -1 || madvise(p, size, MADV_DONTDUMP) == -1) {
		munmap(p, size);
		*why_r = "memory for keys cannot be locked: see LimitMEMLOCK or ulimit -l";
		return -1;
	}
	*a = (struct arena){ .base = p, .size = size };
	return 0;
}

void
arena_fini(struct arena *a)
{
	if (a->base != NULL) {
		OPENSSL_cleanse(a->base, a->size);
		munmap(a->base, a->size);
	}
	*a = (struct arena){ .size = 0 };
}

void *
arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	void *p = a->base + a->used;

	if (n > a->size - a->used)
		return NULL;
	a->used += n;
	if (a->used % align != 0) {
		size_t pad = align - a->used % align;

		a->used = pad > a->size - a->used ? a->size : a->used + pad;
	}
	return p;
}
