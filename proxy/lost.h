/* lost.h: a worker's connections of clients that are to end, found over several turns */
#ifndef PROXY_LOST_H
#define PROXY_LOST_H

#include <stdint.h>

#include "stats/close.h"

struct conn_env;
struct lost;
struct state_key;

/* One a worker, on its thread. NULL: memory is out. */
struct lost *lost_new(struct conn_env *env);
void lost_free(struct lost **l);

/*
 * The connections of that client that came until then, or the one of that number if it is not 0,
 * end for that reason, a few in each turn. CLOSE_NODE_HUNG: of these just those on which nothing
 * has come from it for policy's `hang`. -1: out of memory.
 */
int lost_add(struct lost *l, const struct state_key *client, uint64_t conn_id, uint64_t until_ms,
    enum close_reason why) __attribute__((warn_unused_result));
/* At once, all of them: before some go to where they are not found any more. */
void lost_finish(struct lost *l);

#endif
