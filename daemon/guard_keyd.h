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
 * Starts the program. ours[0] becomes the guard's socket to it, ours[1 + i] that of worker i. Its
 * process, or -1: the reason is logged.
 */
pid_t guard_keyd_start(const struct guard_keyd *k, int *ours) __attribute__((warn_unused_result));

#endif
