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
#include <signal.h>
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

/* What sanitizers and the log read; nothing else of the environment is of any use. */
static char **
keyd_environment(void)
{
	static const char *const names[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
		"JOURNAL_STREAM", "NO_COLOR" };
	const size_t most = sizeof(names) / sizeof(names[0]);
	char **envp = calloc(most + 1, sizeof(*envp));
	size_t n = 0;

	for (size_t i = 0; envp != NULL && i < most; i++) {
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

/* -n WORKERS -r RATE -S SERVICES -l LEVEL -f FORMAT [-u UID -g GID] [-s] */
static void
exec_program(const struct guard_keyd *k)
{
	const struct conf *conf = k->start->conf;
	char name[] = "smbgate-keyd", n[16], rate[16], uid[16], gid[16];
	char services[sizeof(conf->keytab_services)];
	char on[] = "-n", orate[] = "-r", oS[] = "-S", ou[] = "-u", og[] = "-g", os[] = "-s";
	char ol[] = "-l", of[] = "-f", level[16], format[16];
	char *argv[17] = { name, on, n, orate, rate, oS, services, ol, level, of, format };
	int argc = 11;

	snprintf(n, sizeof(n), "%u", k->start->nworkers);
	snprintf(rate, sizeof(rate), "%u", conf->keytab_rate);
	snprintf(services, sizeof(services), "%s", conf->keytab_services);
	snprintf(level, sizeof(level), "%s", log_level_str(log_get_level()));
	snprintf(format, sizeof(format), "%s", log_format_str(conf->log_format));
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

/* Takes over fd. */
static void
pass_worker(unsigned i, int fd)
{
	const uint8_t packet[3] = { GUARD_WORKER, (uint8_t)i, (uint8_t)(i >> 8) };

	if (fdpass_send(GUARD_MAIN_FD, packet, sizeof(packet), fd, 0) == -1)
		log_error("cannot connect worker %u to smbgate-keyd: %s", i, strerror(errno));
	close(fd);
}

pid_t
guard_keyd_start(const struct guard_keyd *k, int *keyd_fd)
{
	int ours[CONF_WORKERS_MAX + 1] = { -1 }, theirs[CONF_WORKERS_MAX + 1];
	unsigned n = k->start->nworkers + 1;
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
		return -1;
	}
	*keyd_fd = ours[0];
	for (unsigned i = 1; i < n; i++)
		pass_worker(i - 1, ours[i]);
	return pid;
}

void
guard_keyd_kill(const struct guard_keyd *k, pid_t pid)
{
	if (kill(pid, SIGKILL) == 0 || errno != EPERM || !k->change_id)
		return;
	if (seteuid(k->uid) == -1 || kill(pid, SIGKILL) == -1)
		log_error("cannot kill smbgate-keyd: %s", strerror(errno));
	/* The real user is root all the while. */
	if (seteuid(0) == -1)
		_exit(EXIT_FAILURE);
}

int
guard_keyd_connect(const struct guard_keyd *k, int keyd_fd, unsigned worker)
{
	const uint8_t packet[3] = { KEYD_WORKER, (uint8_t)worker, (uint8_t)(worker >> 8) };
	int pair[2], r;

	if (worker >= k->start->nworkers)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		return -1;
	r = fdpass_send(keyd_fd, packet, sizeof(packet), pair[0], MSG_DONTWAIT);
	if (r == 0)
		pass_worker(worker, pair[1]);
	else
		close(pair[1]);
	close(pair[0]);
	return r;
}
