/* sandbox.h: gives up everything that smbgate-keyd can work without */
#ifndef KEYD_SANDBOX_H
#define KEYD_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "keyd/answer.h"

/* Before anything is read: no core, no tracing by the same user, memory may be locked. */
void sandbox_prepare(void);

/*
 * For good: limits, no network, another user (change_id: started as root), and a filter that leaves
 * the system calls of a process with nothing but its open descriptors. -1: why says what failed.
 */
int sandbox_enter(bool change_id, uid_t uid, gid_t gid, char why[KEYD_WHY])
    __attribute__((warn_unused_result));

#endif
