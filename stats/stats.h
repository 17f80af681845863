/* stats.h: counters, one set a worker, summed when read */
#ifndef STATS_STATS_H
#define STATS_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "stats/close.h"

enum counter {
#define STAT(name, help) STAT_##name,
#include "stats/stat.tbl.h"
#undef STAT
	STAT_COUNT
};

/* Written by one thread, read by any. */
struct stats {
	_Atomic uint64_t count[STAT_COUNT];
	_Atomic uint64_t closed[CLOSE_COUNT];
};

static inline void
stats_add(struct stats *s, enum counter which, uint64_t n)
{
	/* One writer: a plain add is enough, the atomic only keeps readers from torn values. */
	atomic_store_explicit(&s->count[which],
	    atomic_load_explicit(&s->count[which], memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void
stats_closed(struct stats *s, enum close_reason why)
{
	atomic_store_explicit(&s->closed[why],
	    atomic_load_explicit(&s->closed[why], memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Adds what s has counted to sum. */
void stats_sum(struct stats *sum, struct stats *s);

const char *stats_name(enum counter which);
const char *stats_help(enum counter which);

#endif
