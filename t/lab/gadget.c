/* gadget.c: loaded into smbgate by a test, tries on SIGUSR2 what nobody may do from inside it */
/*
 * gcc -shared -fPIC; LD_PRELOAD. GADGET_OUT: where a line a try is written, "name: yes" or "name: "
 * and the error. The descriptor is opened before smbgate gives anything up. It does what nobody
 * should, a signal handler least of all; but the thread that tries must be smbgate's own, for
 * confinement is a thread's.
 */
/* NOLINTBEGIN(bugprone-*,clang-analyzer-security.insecureAPI.vfork) */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int out = -1;

static void
say(const char *name, int failed)
{
	dprintf(out, "%s: %s\n", name, failed ? strerror(errno) : "yes");
}

static void *
nothing(void *arg)
{
	return arg;
}

static void
try_files(void)
{
	const char *const names[] = { "GADGET_POLICY", "GADGET_KEYTAB", "GADGET_OTHER" };
	int fd;

	for (int i = 0; i < 3; i++) {
		const char *path = getenv(names[i]);

		if (path != NULL) {
			fd = open(path, O_RDONLY);
			say(names[i] + 7, fd == -1);
		}
	}
	fd = open("/etc/smbgate-gadget", O_WRONLY | O_CREAT, 0600);
	say("write /etc", fd == -1);
	fd = open("/tmp/smbgate-gadget", O_WRONLY | O_CREAT, 0600);
	say("write /tmp", fd == -1);
	say("chmod", chmod("/tmp", 01777) == -1);
	say("rename", rename("/tmp/smbgate-gadget", "/tmp/smbgate-gadget2") == -1);
}

static void
try_processes(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);
	int fd;

	if (pid == 0)
		_exit(0);
	say("fork", pid == -1);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	pid = vfork();
	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	say("vfork", pid == -1);
	/* Not one that is traced, so ESRCH says that it may be asked. */
	errno = 0;
	ptrace(PTRACE_PEEKDATA, getppid(), 0, 0);
	say("ptrace", errno == EPERM);
	say("network namespace", unshare(CLONE_NEWNET) == -1);
	say("user namespace", unshare(CLONE_NEWUSER) == -1);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	say("packet socket", fd == -1);
	say("kill", kill(getppid(), 0) == -1);
	say("setuid", syscall(SYS_setuid, 0) == -1);
}

static void
try_code(void)
{
	const int rwx = PROT_READ | PROT_WRITE | PROT_EXEC;
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS;
	pthread_t thread;
	long at = syscall(SYS_mmap, NULL, 4096, rwx, anon, -1, 0);

	say("memory to run", at == -1);
	at = syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, anon, -1, 0);
	say("memory", at == -1);
	say("memory made to run", syscall(SYS_mprotect, at, 4096, PROT_READ | PROT_EXEC) == -1);
	errno = pthread_create(&thread, NULL, nothing, NULL);
	say("thread", errno != 0);
	say("execve", execl("/bin/true", "true", (char *)NULL) == -1);
}

static void
on_signal(int sig)
{
	(void)sig;
	try_files();
	try_processes();
	try_code();
	dprintf(out, "done\n");
}

static void __attribute__((constructor))
start(void)
{
	const char *path = getenv("GADGET_OUT");

	if (path == NULL)
		return;
	out = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
	signal(SIGUSR2, on_signal);
}
/* NOLINTEND(bugprone-*,clang-analyzer-security.insecureAPI.vfork) */
