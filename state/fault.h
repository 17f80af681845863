/* fault.h: what can be wrong with Redis, counted by kind */
#ifndef STATE_FAULT_H
#define STATE_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum trouble {
#define TROUBLE(name, counter, prefix, fatal) TROUBLE_##name,
#include "state/fault.tbl.h"
#undef TROUBLE
	TROUBLE_COUNT
};

/* One a process; written by all its threads. */
struct troubles {
	_Atomic uint64_t count[TROUBLE_COUNT];
};

static inline void
trouble_add(struct troubles *t, enum trouble which)
{
	atomic_fetch_add_explicit(&t->count[which], 1, memory_order_relaxed);
}

const char *trouble_name(enum trouble which);
/* Is there nothing to be had of the connection after that? */
bool trouble_fatal(enum trouble which);
/* Which one an error of Redis' is. */
enum trouble trouble_of(const char *error);

#endif
