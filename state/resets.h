/* resets.h: what proxies tell each other of clients that have lost all their connections */
#ifndef STATE_RESETS_H
#define STATE_RESETS_H

#include <stddef.h>
#include <stdint.h>

#include "state/state.h"

struct link;
struct shared;

/* All proxies are told. What cannot be, now, is not: it would be wrong later. */
void resets_tell(struct link *l, struct shared *m, const struct state_reset *r);

/*
 * What was told, behind the letter in front of it. 1: another proxy's; 0: this process's own; -1:
 * nobody of the cluster has said it.
 */
int resets_told(struct shared *m, const char *text, size_t len, struct state_reset *r)
    __attribute__((warn_unused_result));

#endif
