/* privs.h: who smbgate becomes once its sockets are bound, and the capability that it keeps */
#ifndef DAEMON_PRIVS_H
#define DAEMON_PRIVS_H

#include <stdbool.h>

struct conf;

/* Before anything is started: whatever smbgate may do, no program that it starts inherits it. */
void privs_begin(void);

/*
 * Before the first thread: becomes conf->user, where it was started as root, and gives up all
 * capabilities but CAP_NET_RAW, and that one too unless raw is wanted. *has_raw: it is there now.
 * 0, or -1: the reason is logged.
 */
int privs_drop(const struct conf *conf, bool raw, bool *has_raw)
    __attribute__((warn_unused_result));

/* Can a connection be made from a client's own address? */
bool privs_may_raw(void);

/* The guard's: no capability is left but those to run smbgate-keyd as another user. */
void privs_guard(void);

/* Becomes conf->user only to see with its eyes, and serves nobody. 0, or -1: that is logged. */
int privs_try(const struct conf *conf) __attribute__((warn_unused_result));

#endif
