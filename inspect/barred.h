/* barred.h: pure: sessions that the node has opened, and the policy has not */
#ifndef INSPECT_BARRED_H
#define INSPECT_BARRED_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Their clients were told that they may not log on, and believe that; to the node they are as good
 * as any others. So whatever names one of them is not to reach it.
 */
struct barred;

/* Of one connection. Further ones are not refused by an answer. */
#define BARRED_MAX 1024

/* -1: out of memory, or too many. */
int barred_add(struct barred **all, uint64_t session_id) __attribute__((warn_unused_result));
/* The node has given its number to another. */
void barred_drop(struct barred **all, uint64_t session_id);
/* all NULL: none is. */
bool barred_has(const struct barred *all, uint64_t session_id);
unsigned barred_count(const struct barred *all);
uint64_t barred_at(const struct barred *all, unsigned i);
void barred_free(struct barred **all);

#endif
