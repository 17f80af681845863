/* guard_second.h: the guard's stand-in: a process that waits for the guard's death */
#ifndef DAEMON_GUARD_SECOND_H
#define DAEMON_GUARD_SECOND_H

#include <stdbool.h>
#include <sys/types.h>

struct guard_second {
	pid_t pid;			/* -1: there is none */
	int fd;				/* the end of it is the end of the other one */
};

/*
 * Starts one; it has nothing of the guard but the log and GUARD_MAIN_FD, not its socket keyd_fd to
 * smbgate-keyd (or -1). False in the guard, also when there is none now. True in the stand-in, when
 * the guard is dead and smbgate is not: it is the guard now.
 */
bool guard_second_start(struct guard_second *s, int keyd_fd) __attribute__((warn_unused_result));
/* It is dead. */
void guard_second_reap(struct guard_second *s);

#endif
