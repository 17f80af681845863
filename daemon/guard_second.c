/* guard_second.c: the guard's stand-in: a process that waits for the guard's death */
#include "config.h"

#include "daemon/guard_second.h"

#include "base/log.h"
#include "daemon/guard_start.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 *	smbgate ─── guard ─── smbgate-keyd
 *	    └───────┴─── stand-in
 *
 * smbgate has given up what it would take to start a guard; whoever is to do that must keep it, and
 * can be killed, too. So the guard and its stand-in have one another: each starts the other again.
 */

/* Returns when the guard is dead. */
static void
stand_by(int fd)
{
	/* What smbgate says is the guard's to read; only its end is looked for. */
	struct pollfd p[2] = { { .fd = GUARD_MAIN_FD }, { .fd = fd, .events = POLLIN } };

	prctl(PR_SET_NAME, "smbgate-standby");
	do
		if (poll(p, 2, -1) == -1 && errno != EINTR)
			_exit(EXIT_FAILURE);
	while (p[0].revents == 0 && p[1].revents == 0);
	/* The guard ends with smbgate, and then nobody is to take its place. */
	if (p[0].revents != 0 || poll(p, 1, 0) != 0)
		_exit(EXIT_SUCCESS);
	close(fd);
	prctl(PR_SET_NAME, "smbgate-guard");
}

bool
guard_second_start(struct guard_second *s, int keyd_fd)
{
	int pair[2];

	*s = (struct guard_second){ .pid = -1, .fd = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1) {
		log_error("the guard of the keytab has no stand-in: %s", strerror(errno));
		return false;
	}
	s->pid = fork();
	if (s->pid == 0) {
		close(pair[0]);
		if (keyd_fd != -1)
			close(keyd_fd);
		stand_by(pair[1]);
		*s = (struct guard_second){ .pid = -1, .fd = -1 };
		return true;
	}
	close(pair[1]);
	s->fd = pair[0];
	if (s->pid == -1) {
		log_error("the guard of the keytab has no stand-in: %s", strerror(errno));
		close(s->fd);
		s->fd = -1;
	}
	return false;
}

void
guard_second_reap(struct guard_second *s)
{
	if (s->pid == -1)
		return;
	while (waitpid(s->pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	close(s->fd);
	*s = (struct guard_second){ .pid = -1, .fd = -1 };
}
