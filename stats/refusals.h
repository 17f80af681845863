/* refusals.h: pure: what turns clients away, each by a code, counted */
#ifndef STATS_REFUSALS_H
#define STATS_REFUSALS_H

#include <stddef.h>
#include <stdint.h>

#include "stats/stats.h"

size_t refusals_kinds(void);
/* Of the kind i. The code is part of a public interface: codes are added, never renamed. */
const char *refusals_code(size_t i);
const char *refusals_text(size_t i);
uint64_t refusals_count(size_t i, const struct stats *sum);
uint64_t refusals_all(const struct stats *sum);

/* The kind that is counted so, or ends a connection so; -1: that is no refusal. */
int refusals_of_counter(enum counter c);
int refusals_of_close(enum close_reason why);

#endif
