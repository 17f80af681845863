/* syscalls.h: a process that can make listed system calls alone, from here on */
#ifndef BASE_SYSCALLS_H
#define BASE_SYSCALLS_H

#include <stddef.h>
#include <stdint.h>

/* A call that passes if (argument & mask) == value. */
struct syscall_if {
	int nr;
	unsigned arg;
	uint64_t mask, value;
};

/*
 * Numbers as libseccomp has them (SCMP_SYS); one below zero is of another machine, and left out.
 * Beside them pass mmap(2) and mprotect(2) of memory that is not to run, and fstat(2) as the C
 * library asks it.
 */
struct syscalls {
	const int *list;
	size_t n;
	const struct syscall_if *some;
	size_t nsome;
};

/*
 * All others fail with EPERM, in every thread, and in all that this process may start. 0, or -1
 * with errno.
 */
int syscalls_confine(const struct syscalls *s) __attribute__((warn_unused_result));

#endif
