/* guard_lost.h: pure: workers that smbgate-keyd has lost, and when each gets a new socket */
#ifndef DAEMON_GUARD_LOST_H
#define DAEMON_GUARD_LOST_H

#include <stdint.h>

#include "policy/conf.h"

/* Times in ms of one clock. All zero: none is lost. */
struct guard_lost {
	struct {
		uint64_t due;		/* 0: it is not lost */
		uint64_t since;		/* its last socket */
		unsigned wait;
	} worker[CONF_WORKERS_MAX];
	unsigned n;			/* lost now */
};

/* It is lost: it gets another soon, later each time that this one did not last. */
void guard_lost_note(struct guard_lost *l, unsigned worker, uint64_t now);
/* Nobody is lost any more: there is a new smbgate-keyd. */
void guard_lost_clear(struct guard_lost *l);
/* In ms, when the next one is due; -1: nobody is lost. */
int guard_lost_wait(const struct guard_lost *l, uint64_t now);
/* One that is due, and no longer lost; -1: none. */
int guard_lost_due(struct guard_lost *l, uint64_t now);

#endif
