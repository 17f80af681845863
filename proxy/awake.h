/* awake.h: the connections that a worker looks at each second: those that time alone can change */
#ifndef PROXY_AWAKE_H
#define PROXY_AWAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/conn_priv.h"
#include "proxy/env.h"

/*
 * An idle connection costs nothing: what happens to it, an event, an order or an answer, wakes it
 * with awake_stir(), and the tick lets it sleep again when no deadline, doubt or half-done work of
 * it is left. So that what nobody told is found out too, and what can be late may be, the tick also
 * looks at a small part of the others, each within AWAKE_ROUND_S.
 */
#define AWAKE_ROUND_S 256

/*
 * In one step at least: 0.1 ms, as a look at a connection that is not in the cache takes 1.5 us.
 * All of a tick's are spread over most of its second, in so many steps at most: a look may begin to
 * ask a node in doubt for a sign of life, once a second from then on, and the network has no room
 * for thousands in one moment.
 */
#define AWAKE_STEP 32
#define AWAKE_STEPS 400
#define AWAKE_SPREAD_MS 800
/* Between two steps at most. */
#define AWAKE_PAUSE_MS 10
/* Who is only asked whether a session of his is over. */
#define AWAKE_ASK_STEP 256

void awake_add(struct conn *c);

static inline void
awake_stir(struct conn *c)
{
	if (!c->awake)
		awake_add(c);
}

/* It dies. */
void awake_remove(struct conn *c);

/*
 * Once a second: each that is awake is to be looked at, and the part whose turn it is; and where a
 * session has ended that has channels on other connections, these are to be woken.
 */
void awake_tick(struct conn_env *env);

/*
 * look() for the next few of these, lest all traffic wait for thousands. True: there are more, in
 * env->pause_ms.
 */
bool awake_step(struct conn_env *env, void (*look)(struct conn *c, uint64_t now_ms),
    uint64_t now_ms);

#endif
