/* guard_keyd.c: how the guard starts smbgate-keyd: identity, arguments, sockets */
#include "config.h"

#include "daemon/guard_keyd.h"

#include "auth/keymsg.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "daemon/guard_start.h"
#include "policy/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* In the range that systemd's UIDS-GIDS documents as nobody's: a user without an account. */
#define KEYD_UID 61183

/* A user of its own where possible: whoever takes over smbgate must not get at the keytab. */
static void
keyd_identity(const struct conf *conf, uid_t *uid, gid_t *gid)
{
	const char *name = conf->keyd_user != NULL ? conf->keyd_user : "smbgate-keyd";
	const struct passwd *pw = getpwnam(name);

	*uid = pw == NULL ? KEYD_UID : pw->pw_uid;
	*gid = pw == NULL ? KEYD_UID : pw->pw_gid;
}

/* What sanitizers read; nothing else of the environment is of any use. */
static char **
keyd_environment(void)
{
	static const char *const names[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS" };
	char **envp = calloc(4, sizeof(*envp));
	size_t n = 0;

	for (int i = 0; envp != NULL && i < 3; i++) {
		const char *value = getenv(names[i]);

		if (value != NULL && asprintf(&envp[n], "%s=%s", names[i], value) > 0)
			n++;
	}
	return envp;
}

void
guard_keyd_init(struct guard_keyd *k, const struct guard_start *s)
{
	k->start = s;
	k->envp = keyd_environment();
	k->change_id = geteuid() == 0;
	if (k->change_id)
		keyd_identity(s->conf, &k->uid, &k->gid);
	else
		log_info("not started as root: smbgate-keyd runs as the same user");
}

/* -n WORKERS [-u UID -g GID] [-s] [-v] */
static void
exec_program(const struct guard_keyd *k)
{
	char name[] = "smbgate-keyd", n[16], uid[16], gid[16];
	char on[] = "-n", ou[] = "-u", og[] = "-g", os[] = "-s", ov[] = "-v";
	char *argv[10] = { name, on, n };
	int argc = 3;

	snprintf(n, sizeof(n), "%u", k->start->nworkers);
	if (k->change_id) {
		snprintf(uid, sizeof(uid), "%u", (unsigned)k->uid);
		snprintf(gid, sizeof(gid), "%u", (unsigned)k->gid);
		argv[argc++] = ou;
		argv[argc++] = uid;
		argv[argc++] = og;
		argv[argc++] = gid;
	}
	if (k->start->syslog)
		argv[argc++] = os;
	if (k->start->verbose)
		argv[argc++] = ov;
	execve(k->start->program, argv, k->envp);
}

/* In the child: sockets[] become 3, 4, ...; nothing else is left but the log. */
static void
exec_keyd(const struct guard_keyd *k, const int *sockets)
{
	int n = (int)k->start->nworkers + 1;
	int moved[CONF_WORKERS_MAX + 1];
	char packet[GUARD_PACKET_MAX] = { KEYD_UNFIT };

	for (int i = 0; i < n; i++)
		moved[i] = fcntl(sockets[i], F_DUPFD_CLOEXEC, KEYD_GUARD_FD + n);
	for (int i = 0; i < n; i++)
		if (moved[i] == -1 || dup2(moved[i], KEYD_GUARD_FD + i) == -1)
			_exit(EXIT_FAILURE);
	close_range((unsigned)(KEYD_GUARD_FD + n), UINT_MAX, 0);
	exec_program(k);
	snprintf(packet + 1, sizeof(packet) - 1, "cannot run %s: %s", k->start->program,
	    strerror(errno));
	fdpass_send(KEYD_GUARD_FD, packet, 1 + strlen(packet + 1), -1, MSG_DONTWAIT);
	_exit(EXIT_FAILURE);
}

static void
close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] != -1)
			close(fds[i]);
}

/* One pair for the guard, and one for each worker: ours[] and theirs[]. */
static int
make_sockets(size_t n, int *ours, int *theirs)
{
	for (size_t i = 0; i < n; i++)
		ours[i] = theirs[i] = -1;
	for (size_t i = 0; i < n; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1) {
			log_error("cannot start smbgate-keyd: %s", strerror(errno));
			close_all(ours, n);
			close_all(theirs, n);
			return -1;
		}
		ours[i] = pair[0];
		theirs[i] = pair[1];
	}
	return 0;
}

pid_t
guard_keyd_start(const struct guard_keyd *k, int *ours)
{
	int theirs[CONF_WORKERS_MAX + 1];
	size_t n = k->start->nworkers + 1;
	pid_t pid;

	if (make_sockets(n, ours, theirs) == -1)
		return -1;
	pid = fork();
	if (pid == 0)
		exec_keyd(k, theirs);
	close_all(theirs, n);
	if (pid == -1) {
		log_error("cannot start smbgate-keyd: %s", strerror(errno));
		close_all(ours, n);
	}
	return pid;
}
