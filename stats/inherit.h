/* inherit.h: counters and refusals, as one process hands them to the next */
#ifndef STATS_INHERIT_H
#define STATS_INHERIT_H

#include <stddef.h>
#include <stdint.h>

#include "stats/stats.h"

struct refused;
struct tlv_out;

/*
 * What *sum has beyond *told, by name; *told is as much from then on. So each event is counted by
 * one process at a time: the old one may write again, until it ends.
 */
void stats_write(struct tlv_out *o, const struct stats *sum, struct stats *told);
/*
 * Adds what was written. A name that is not known here is passed over. s is written by this thread
 * alone. 0, or -1: a bad record, of which nothing was added.
 */
int stats_read(struct stats *s, const void *record, size_t n) __attribute__((warn_unused_result));

/* The refusals that are kept, the oldest first. */
void refused_write(struct tlv_out *o, struct refused *r, uint64_t now_ms);
/* 0, or -1: a bad record; those before the bad one are kept. From any thread. */
int refused_read(struct refused *r, const void *record, size_t n, uint64_t now_ms)
    __attribute__((warn_unused_result));

#endif
