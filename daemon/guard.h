/* guard.h: the process that keeps the privileges: opens the keytab, starts smbgate-keyd again */
#ifndef DAEMON_GUARD_H
#define DAEMON_GUARD_H

#include <stdbool.h>

struct conf;
struct guard;
struct secret;

/*
 * Starts the guard, which starts smbgate-keyd: before there are threads, and before privileges are
 * dropped, for both keep what they are started with. secret is wiped in the guard. It ends when
 * this process does. NULL: the reason is logged.
 */
struct guard *guard_new(const struct conf *conf, unsigned nworkers, bool syslog, bool verbose,
    struct secret *secret);
/* Ends the guard and smbgate-keyd, and waits for it. */
void guard_free(struct guard **g);

/* Until smbgate-keyd serves. -1: it cannot, or has not for some seconds; the reason is logged. */
int guard_wait(struct guard *g) __attribute__((warn_unused_result));

/*
 * keyd(arg, worker, fd) is called for each connection of a worker to a smbgate-keyd: at once for
 * those that are there, later out of guard_read(). The descriptor is the callee's.
 */
void guard_listen(struct guard *g, void (*keyd)(void *arg, unsigned worker, int fd), void *arg);
/* To be waited for to be readable, and then to be read. -1: the guard is gone. */
int guard_fd(const struct guard *g);
int guard_read(struct guard *g) __attribute__((warn_unused_result));

/* The keytab is given to smbgate-keyd again, changed or not. */
void guard_reload(struct guard *g);

#endif
