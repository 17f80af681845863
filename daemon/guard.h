/* guard.h: the process that keeps the privileges: opens the keytab, starts smbgate-keyd again */
#ifndef DAEMON_GUARD_H
#define DAEMON_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/keymsg.h"
#include "base/logrecord.h"

struct conf;
struct errlist;
struct guard;
struct secret;

/*
 * Starts the guard, which starts smbgate-keyd: before there are threads, and before privileges are
 * dropped, for both keep what they are started with. secret is wiped in the guard. It ends when
 * this process does; if it dies before, its stand-in goes on. This process lets children go unseen
 * (SIGCHLD). NULL: the reason is logged.
 */
struct guard *guard_new(const struct conf *conf, unsigned nworkers, bool syslog,
    struct secret *secret);
/* Ends the guard and smbgate-keyd, and waits for it. */
void guard_free(struct guard **g);

/* Adds what it would lack: the program smbgate-keyd. */
void guard_try(const struct conf *conf, struct errlist *e);

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

/* How it stands with smbgate-keyd, and with the guard, as far as guard_read() has heard. */
struct guard_state {
	enum { GUARD_KEYD_UP, GUARD_KEYD_SILENT, GUARD_KEYD_RESTARTING } keyd;
	bool keytab_readable;	/* as it was the last time that smbgate-keyd was given it */
	uint64_t keyd_restarts;
	uint64_t guard_restarts;
	uint64_t count[KEYD_COUNTS];	/* of all smbgate-keyd there were */
};

const struct guard_state *guard_state(const struct guard *g);

/* The keytab is given to smbgate-keyd again, changed or not. */
void guard_reload(struct guard *g);

/* How much the guard and smbgate-keyd log from now on, and those that come after them. */
void guard_log_level(struct guard *g, enum log_level level);

#endif
