/* held.h: connections that no node takes: each waits a moment, in case one comes back */
#ifndef PROXY_HELD_H
#define PROXY_HELD_H

#include "stats/close.h"

struct conn;
struct conn_env;
struct held;

/* One worker's. NULL: out of memory. */
struct held *held_new(struct conn_env *env);
void held_free(struct held **h);

/*
 * c was given no node, for the reason why. It is held in CONN_HELD, once, where that is because no
 * node takes it and the policy has it held; otherwise it ends. A held one is to be placed again
 * when that stage is over: at once when a node takes clients again.
 */
void held_or_end(struct conn *c, enum close_reason why);

#endif
