/* guard_confine.c: what the guard and its stand-in cannot do, nor smbgate-keyd while it starts */
#include "config.h"

#include "daemon/guard_confine.h"

#include "base/log.h"
#include "base/syscalls.h"
#include "daemon/landlock.h"
#include "daemon/privs.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <seccomp.h>

#define ALL 0xffffffffu

/*
 * A program inherits its starter's filter, and can only add to it. So these are the calls of the
 * guard, and those of the dynamic loader, the C library and smbgate-keyd until its own filter.
 */
static const int calls[] = {
	/* The guard: processes, sockets, the keytab, the log. */
	SCMP_SYS(execve), SCMP_SYS(wait4), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(connect),
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom),
	SCMP_SYS(getsockopt), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(read), SCMP_SYS(readv),
	SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(close),
	SCMP_SYS(close_range), SCMP_SYS(fcntl), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(getpid),
	SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(getgroups), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(tgkill), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield), SCMP_SYS(futex),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(nanosleep), SCMP_SYS(getrandom),
	/* smbgate-keyd starts: libraries, locales, limits, memory, another user, a filter. */
	SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(getdents64),
	SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(getcwd), SCMP_SYS(uname), SCMP_SYS(sysinfo),
	SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(munmap), SCMP_SYS(mremap),
	SCMP_SYS(madvise), SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(mlockall), SCMP_SYS(munlock),
	SCMP_SYS(arch_prctl), SCMP_SYS(set_tid_address), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(prlimit64), SCMP_SYS(sched_getaffinity), SCMP_SYS(prctl), SCMP_SYS(seccomp),
	SCMP_SYS(setgroups), SCMP_SYS(setresgid), SCMP_SYS(setresuid),
#if SANITIZED
	SCMP_SYS(personality), SCMP_SYS(getrusage), SCMP_SYS(mincore), SCMP_SYS(getdents),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(dup),
#endif
};

static const struct syscall_if some_calls[] = {
	/* Of its own address space and namespaces: fork(), and neither threads nor containers. */
	{ SCMP_SYS(clone), 0, CLONE_VM | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
	    CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET, 0 },
	{ SCMP_SYS(kill), 1, ALL, SIGKILL },
	{ SCMP_SYS(open), 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY },
	{ SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY },
	{ SCMP_SYS(socket), 0, ALL, AF_UNIX },		/* syslog */
	{ SCMP_SYS(socketpair), 0, ALL, AF_UNIX },
	{ SCMP_SYS(ioctl), 1, ALL, 0x5401 },		/* TCGETS: is it a terminal? */
};

/* The dynamic loader of this program, which is that of smbgate-keyd: built in one go. */
static int
find_loader(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char **loader = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_INTERP)
			*loader = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return 1;	/* the first one is the program */
}

/* It may read everything, as its capabilities say; there is one file that it must. */
static int
allow_guard(int rules, const char *program)
{
	const char *loader = NULL;

	dl_iterate_phdr(find_loader, &loader);
	if (landlock_allow(rules, "/", MAY_WRITE ? LANDLOCK_ALL : LANDLOCK_READING) == -1 ||
	    landlock_allow(rules, program, LANDLOCK_RUNNING) == -1)
		return -1;
	return loader == NULL ? 0 : landlock_allow(rules, loader, LANDLOCK_RUNNING);
}

void
guard_confine(const char *program)
{
	const struct syscalls s = {
		.list = calls,
		.n = sizeof(calls) / sizeof(calls[0]),
		.some = some_calls,
		.nsome = sizeof(some_calls) / sizeof(some_calls[0]),
	};
	int rules;

	privs_guard();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		log_warn("the guard cannot give up new privileges: %s", strerror(errno));
	rules = landlock_new();
	if (rules != -1)
		landlock_enter(rules, allow_guard(rules, program));
	if (syscalls_confine(&s) == -1)
		log_warn("the guard's system calls cannot be filtered: %s", strerror(errno));
}

void
guard_leave_network(void)
{
	if (unshare(CLONE_NEWNET) == -1)
		log_info("smbgate-keyd has the network namespace of smbgate, without socket(): %s",
		    strerror(errno));
}
