/* guard_keyd.h: how the guard starts smbgate-keyd: identity, arguments, sockets */
#ifndef DAEMON_GUARD_KEYD_H
#define DAEMON_GUARD_KEYD_H

#include <stdbool.h>
#include <sys/types.h>

struct guard_start;

struct guard_keyd {
	const struct guard_start *start;
	char **envp;
	bool change_id;			/* to uid and gid */
	uid_t uid;
	gid_t gid;
};

/* s is borrowed. */
void guard_keyd_init(struct guard_keyd *k, const struct guard_start *s);

/*
 * Starts the program, and gives smbgate a socket to it for each worker. *keyd_fd becomes the
 * guard's own. Its process, or -1: the reason is logged.
 */
pid_t guard_keyd_start(const struct guard_keyd *k, int *keyd_fd)
    __attribute__((warn_unused_result));

/* Kills it, whoever it has become by now: as its user, where root may not. */
void guard_keyd_kill(const struct guard_keyd *k, pid_t pid);

/* A new socket between one worker and the smbgate-keyd at keyd_fd. 0, or -1: not now. */
int guard_keyd_connect(const struct guard_keyd *k, int keyd_fd, unsigned worker)
    __attribute__((warn_unused_result));

#endif
