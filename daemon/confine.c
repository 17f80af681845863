/* confine.c: what smbgate itself can no longer do once it serves */
#include "config.h"

#include "daemon/confine.h"

#include "auth/secret.h"
#include "base/log.h"
#include "base/syscalls.h"
#include "daemon/landlock.h"
#include "policy/conf.h"
#include "policy/policy.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>
#include <seccomp.h>

/* Connections and their bytes, files of the configuration, time, memory, threads that wait. */
static const int calls[] = {
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(bind),
	SCMP_SYS(listen), SCMP_SYS(shutdown), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
	SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write),
	SCMP_SYS(writev), SCMP_SYS(splice), SCMP_SYS(pipe2), SCMP_SYS(close), SCMP_SYS(fcntl),
	SCMP_SYS(dup3), SCMP_SYS(ftruncate),
	/* getdents64: a folder that is open already, daemon/process.h */
	SCMP_SYS(getdents64),
	SCMP_SYS(openat), SCMP_SYS(readlinkat), SCMP_SYS(readlink), SCMP_SYS(fstat), SCMP_SYS(lseek), SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock2),
	SCMP_SYS(futex), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(gettimeofday),
	SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_settime),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sysinfo), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(tgkill), SCMP_SYS(wait4), SCMP_SYS(exit), SCMP_SYS(exit_group),
	/* daemon/nodewatch.h */
	SCMP_SYS(inotify_add_watch), SCMP_SYS(inotify_rm_watch),
	/* Whose is a key file that is read again? */
	SCMP_SYS(geteuid), SCMP_SYS(getegid), SCMP_SYS(getgroups),
	/* A thread that has just been started. */
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
#if SANITIZED
	/* How the sanitizers look for leaks, and report. */
	SCMP_SYS(clone), SCMP_SYS(ptrace), SCMP_SYS(prctl), SCMP_SYS(getppid), SCMP_SYS(kill),
	SCMP_SYS(getdents), SCMP_SYS(prlimit64),
	SCMP_SYS(open), SCMP_SYS(stat), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(nanosleep),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(arch_prctl),
	SCMP_SYS(newfstatat), SCMP_SYS(pread64), SCMP_SYS(getrusage), SCMP_SYS(mincore),
#endif
};

#define ALL 0xffffffffu

static const struct syscall_if some_calls[] = {
	{ SCMP_SYS(socket), 0, ALL, AF_INET },
	{ SCMP_SYS(socket), 0, ALL, AF_INET6 },
	{ SCMP_SYS(socket), 0, ALL, AF_UNIX },		/* syslog */
	{ SCMP_SYS(socket), 0, ALL, AF_NETLINK },	/* getifaddrs() */
	{ SCMP_SYS(ioctl), 1, ALL, SIOCOUTQ },
	{ SCMP_SYS(ioctl), 1, ALL, FIONREAD },
	{ SCMP_SYS(ioctl), 1, ALL, FIONBIO },
	{ SCMP_SYS(ioctl), 1, ALL, TCGETS },		/* is it a terminal? libconfuse asks */
	{ SCMP_SYS(prlimit64), 2, UINT64_MAX, 0 },	/* may be asked, not set */
};

static int
allow_folder(int rules, const char *file, uint64_t access)
{
	char path[PATH_MAX], *slash;

	if (file == NULL || snprintf(path, sizeof(path), "%s", file) >= (int)sizeof(path))
		return 0;
	slash = strrchr(path, '/');
	if (slash == NULL)
		return landlock_allow(rules, ".", access);
	slash[slash == path ? 1 : 0] = '\0';
	return landlock_allow(rules, path, access);
}

/* The folder of a file, and that of the file which it is a link to: files are replaced there. */
static int
allow_file(int rules, const char *file)
{
	char real[PATH_MAX];

	if (file == NULL)
		return 0;
	if (allow_folder(rules, file, LANDLOCK_READING) == -1)
		return -1;
	return realpath(file, real) == NULL ? 0 : allow_folder(rules, real, LANDLOCK_READING);
}

static int
allow_all(int rules, const struct conf *conf, const struct policy *p)
{
	/* A sanitizer's report reads the program and its /proc. */
	if (SANITIZED &&
	    landlock_allow(rules, "/", MAY_WRITE ? LANDLOCK_ALL : LANDLOCK_READING) == -1)
		return -1;
	for (size_t i = 0; i < p->ndeny_files; i++)
		if (allow_file(rules, p->deny_files[i]) == -1)
			return -1;
	if (allow_file(rules, conf->policy) == -1 || allow_file(rules, p->node_file) == -1 ||
	    allow_file(rules, conf->redis_password) == -1 ||
	    allow_file(rules, conf->sentinel_password) == -1 ||
	    allow_file(rules, conf->tls_ca) == -1 || allow_file(rules, conf->tls_cert) == -1 ||
	    allow_file(rules, conf->tls_key) == -1)
		return -1;
	if (allow_folder(rules, conf->control, LANDLOCK_ACCESS_FS_REMOVE_FILE) == -1 ||
	    allow_folder(rules, conf->pid_file, LANDLOCK_ACCESS_FS_REMOVE_FILE) == -1)
		return -1;
	if (landlock_allow(rules, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE |
	    LANDLOCK_ACCESS_FS_WRITE_FILE) == -1)
		return -1;
	/* How many local ports there are. */
	return landlock_allow(rules, "/proc/sys/net/ipv4", LANDLOCK_READING);
}

void
confine_memory(const struct conf *conf, const struct secret *secret)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit now = { 0, 0 };

	/* For the guard and smbgate-keyd, too. Not allowed: as much as there is. */
	if (setrlimit(RLIMIT_MEMLOCK, &all) == -1)
		getrlimit(RLIMIT_MEMLOCK, &now);
	else
		now = all;
	if (conf->keytab == NULL && secret->len == 0)
		return;
	/* With a limit, that would make any allocation fail some day. */
	if (now.rlim_cur == RLIM_INFINITY &&
	    mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
		return;
	if (conf->keytab != NULL)
		log_warn("session keys may be swapped out: %llu KiB may be locked; "
		    "LimitMEMLOCK or ulimit -l must be unlimited",
		    (unsigned long long)now.rlim_cur / 1024);
	/* As a system call of its own: a sanitizer's mlock() does nothing. */
	if (secret->len > 0 && mlock2(secret, sizeof(*secret), 0) == -1)
		log_warn("the cluster-secret may be swapped out: %s; see LimitMEMLOCK or ulimit -l",
		    strerror(errno));
}

void
confine_files(const struct conf *conf, const struct policy *policy)
{
	int rules;

	tzset();	/* it reads a file, the first time */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		log_warn("cannot give up new privileges: %s", strerror(errno));
	rules = landlock_new();
	if (rules != -1)
		landlock_enter(rules, allow_all(rules, conf, policy));
	else
		log_info("this kernel has no Landlock: files are protected by their modes alone");
}

void
confine_calls(void)
{
	const struct syscalls s = {
		.list = calls,
		.n = sizeof(calls) / sizeof(calls[0]),
		.some = some_calls,
		.nsome = sizeof(some_calls) / sizeof(some_calls[0]),
	};

	if (syscalls_confine(&s) == -1)
		log_warn("system calls cannot be filtered: %s", strerror(errno));
}
