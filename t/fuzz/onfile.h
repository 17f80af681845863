/* onfile.h: an input as a file, for what reads files by their names */
#ifndef T_FUZZ_ONFILE_H
#define T_FUZZ_ONFILE_H

#include "t/unit/lib/holds.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file of the process, which has no name but /proc/self/fd/N. */
struct onfile {
	int fd;
	char path[32];
};

static inline struct onfile
onfile_new(void)
{
	struct onfile f = { .fd = memfd_create("input", MFD_CLOEXEC) };

	HOLDS(f.fd != -1);
	snprintf(f.path, sizeof(f.path), "/proc/self/fd/%d", f.fd);
	return f;
}

static inline void
onfile_put(const struct onfile *f, const void *p, size_t n)
{
	HOLDS(ftruncate(f->fd, 0) == 0);
	HOLDS(n == 0 || pwrite(f->fd, p, n, 0) == (ssize_t)n);
}

#endif
