/* sandbox.c: gives up everything that smbgate-keyd can work without */
#include "config.h"

#include "keyd/sandbox.h"

#include "base/log.h"
#include "base/syscalls.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <seccomp.h>

/* The loop, the log, memory, time, randomness, and what the C library does on its own. */
static const int allowed[] = {
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
	SCMP_SYS(recvmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(sendto),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(lseek),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock),
	SCMP_SYS(futex), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(nanosleep), SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static int __attribute__((format(printf, 2, 3)))
failed(char why[KEYD_WHY], const char *fmt, ...)
{
	int saved = errno, n;
	va_list ap;

	va_start(ap, fmt);
	n = vsnprintf(why, KEYD_WHY, fmt, ap);
	va_end(ap);
	if (n >= 0 && n < KEYD_WHY)
		snprintf(why + n, KEYD_WHY - (size_t)n, ": %s", strerror(saved));
	return -1;
}

void
sandbox_prepare(void)
{
	const struct rlimit none = { 0, 0 };

	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
}

static int
set_limits(char why[KEYD_WHY])
{
	const struct rlimit none = { 0, 0 };
	struct stat st;

	if (setrlimit(RLIMIT_CORE, &none) == -1 || setrlimit(RLIMIT_NPROC, &none) == -1)
		return failed(why, "cannot set limits");
	/* A log that is a file must grow; nothing else can be opened. */
	signal(SIGXFSZ, SIG_IGN);
	if ((fstat(STDERR_FILENO, &st) == -1 || !S_ISREG(st.st_mode)) &&
	    setrlimit(RLIMIT_FSIZE, &none) == -1)
		return failed(why, "cannot set limits");
	return 0;
}

static int
change_user(uid_t uid, gid_t gid, char why[KEYD_WHY])
{
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1 ||
	    setresuid(uid, uid, uid) == -1)
		return failed(why, "cannot become user %u, group %u", (unsigned)uid, (unsigned)gid);
	if (uid != 0 && setresuid(0, 0, 0) == 0) {
		errno = EPERM;
		return failed(why, "could become root again");
	}
	return 0;
}

static int
sandbox_filter(char why[KEYD_WHY])
{
	const struct syscalls s = { .list = allowed, .n = sizeof(allowed) / sizeof(allowed[0]) };

	return syscalls_confine(&s) == 0 ? 0 : failed(why, "cannot filter system calls");
}

int
sandbox_enter(bool change_id, uid_t uid, gid_t gid, char why[KEYD_WHY])
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return failed(why, "cannot give up new privileges");
	if (set_limits(why) == -1 || (change_id && change_user(uid, gid, why) == -1))
		return -1;
	/* Both are set back when the user changes. */
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_info("smbgate-keyd is sandboxed as uid %u", (unsigned)geteuid());
	return sandbox_filter(why);
}
