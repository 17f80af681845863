/* syscalls.c: a process that can make listed system calls alone, from here on */
#include "config.h"

#include "base/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <seccomp.h>

static int
allow_if(scmp_filter_ctx f, const struct syscall_if *s)
{
	if (s->nr < 0)
		return 0;
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, s->nr, 1,
	    SCMP_CMP64(s->arg, SCMP_CMP_MASKED_EQ, s->mask, s->value));
}

static int
add_rules(scmp_filter_ctx f, const struct syscalls *s)
{
	const struct syscall_if always[] = {
		/* Memory, but none to run. */
		{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
		{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
		/* How the C library asks fstat(). */
		{ SCMP_SYS(newfstatat), 3, AT_EMPTY_PATH, AT_EMPTY_PATH },
	};
	int r = 0;

	for (size_t i = 0; i < s->n && r >= 0; i++)
		if (s->list[i] >= 0)
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, s->list[i], 0);
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]) && r >= 0; i++)
		r = allow_if(f, &always[i]);
	for (size_t i = 0; i < s->nsome && r >= 0; i++)
		r = allow_if(f, &s->some[i]);
	return r;
}

int
syscalls_confine(const struct syscalls *s)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = f == NULL ? -ENOMEM : add_rules(f, s);

	if (r >= 0)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r >= 0)
		r = seccomp_load(f);
	if (f != NULL)
		seccomp_release(f);
	if (r >= 0)
		return 0;
	errno = -r;
	return -1;
}
