/* fault.h: what can be wrong with Redis, counted by kind */
#ifndef STATE_FAULT_H
#define STATE_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fault {
#define FAULT(name, counter, prefix, fatal) FAULT_##name,
#include "state/fault.tbl.h"
#undef FAULT
	FAULT_COUNT
};

/* One a process; written by all its threads. */
struct faults {
	_Atomic uint64_t count[FAULT_COUNT];
};

static inline void
fault_add(struct faults *t, enum fault which)
{
	atomic_fetch_add_explicit(&t->count[which], 1, memory_order_relaxed);
}

const char *fault_name(enum fault which);
/* Does the connection end with it? */
bool fault_fatal(enum fault which);
/* The fault that an error reply of Redis is. */
enum fault fault_of(const char *error);

#endif
