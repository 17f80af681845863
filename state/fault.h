/* fault.h: what can be wrong with Redis, counted by kind, and said */
#ifndef STATE_FAULT_H
#define STATE_FAULT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fault {
#define FAULT(name, counter, prefix, kind, cure) FAULT_##name,
#include "state/fault.tbl.h"
#undef FAULT
	FAULT_COUNT
};

/* What becomes of the connection that a fault is met on. */
enum fault_kind {
	FAULT_PASSES,		/* nothing: it is about one question */
	FAULT_TROUBLES,		/* it stays, and is of no use before a script has worked */
	FAULT_ENDS,		/* it ends; another may be better at once */
	FAULT_LASTS,		/* it ends; another will hardly be better */
};

#define FAULT_WORDS 200

/* One a process; written by all its threads. A mutex, and otherwise zero. */
struct faults {
	_Atomic uint64_t count[FAULT_COUNT];
	pthread_mutex_t lock;			/* of what follows; a leaf */
	uint64_t said_ms[FAULT_COUNT];		/* 0: never */
	uint64_t said_count[FAULT_COUNT];	/* what the counter was then */
	uint64_t well_ms;			/* when a connection became useful last */
	char last[FAULT_WORDS];			/* in its own words, if it had any */
};

static inline void
fault_add(struct faults *t, enum fault which)
{
	atomic_fetch_add_explicit(&t->count[which], 1, memory_order_relaxed);
}

const char *fault_name(enum fault which);
enum fault_kind fault_kind(enum fault which);
/* The fault that an error reply of Redis is. */
enum fault fault_of(const char *error);

/*
 * Counts it, and logs it where it is news: once a minute, and again when all was well for a while
 * in between. server is who it is about; words are an error of Redis, NULL: none.
 */
void fault_met(struct faults *t, enum fault which, const char *server, const char *words);
/* A connection is useful now. */
void fault_over(struct faults *t);
/* What was met last; "": nothing. */
void fault_last(struct faults *t, char dst[FAULT_WORDS]);

#endif
