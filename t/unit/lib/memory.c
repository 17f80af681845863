/* memory.c: memory that runs out, for tests that link with WRAP_MEMORY */
#include "config.h"

#include "t/unit/lib/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * The linker's --wrap leads the calls of strdup() and so on here; __real_ is what they meant. The
 * names are its own.
 */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
char *__real_strdup(const char *s);
void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

static int left = -1;
static bool failed;

static bool
is_out(void)
{
	if (left < 0 || left-- > 0)
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

void
memory_fail(int n)
{
	left = n;
	failed = false;
}

bool
memory_restore(void)
{
	left = -1;
	return failed;
}

char *
__wrap_strdup(const char *s)
{
	return is_out() ? NULL : __real_strdup(s);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return is_out() ? NULL : __real_calloc(n, size);
}

void *
__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return is_out() ? NULL : __real_reallocarray(p, n, size);
}
