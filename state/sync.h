/* sync.h: SYNC as Redis gets it, and its answer */
#ifndef STATE_SYNC_H
#define STATE_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/link.h"
#include "state/shared.h"

/* Claims in one call, at most; of facts shared_take() has the number. */
#define SYNC_MAX 64

/* hurry: others may not have come back yet. As link_run(). */
bool sync_send(struct link *l, const struct shared *m, uint64_t gen, bool hurry,
    const struct shared_op *ops, size_t n, link_reply_f cb, void *arg);

/* False: nothing was done, for want of a lease. *t is Redis' time, 0 where the answer is none. */
bool sync_answer(const struct redisReply *r, size_t n, uint64_t *t);
/* What became of the i-th. */
struct shared_result sync_result(const struct redisReply *r, size_t i);

#endif
