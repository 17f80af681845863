/* parting.h: clients that are to go, asked of one worker: are they quiet, and their ends */
#ifndef PROXY_PARTING_H
#define PROXY_PARTING_H

#include <stddef.h>
#include <stdint.h>

#include "state/state.h"

struct conn;
struct conn_env;

/* At once: the bits of a mask. */
#define PARTING_MAX 16

/*
 * A client is all connections of one ClientGuid and cluster. Who has none is one connection, by its
 * number: nothing says whose others are.
 */
struct client_ref {
	struct state_key key;		/* while conn_id is 0 */
	uint64_t conn_id;
};

struct parting {
	size_t n;
	struct client_ref who[PARTING_MAX];
	uint64_t until_ms;		/* of ends: who came later stays; 0: nobody does */
};

/*
 * The clients that are not quiet here, as a mask. Of the others nothing more is read, so that they
 * stay as they are; no longer than PARTING_PARK_S.
 */
#define PARTING_PARK_S 3
uint32_t parting_park(struct conn_env *env, const struct parting *p, uint32_t quiet_s);
/* They go on. */
void parting_resume(struct conn_env *env, const struct parting *p);
/*
 * They have been parked everywhere, and end; but who is no longer parked, or has come since, and
 * is not quiet: of that client all stay here.
 */
void parting_go(struct conn_env *env, const struct parting *p, uint32_t quiet_s);
/* They end, quiet or not. How many connections of these clients have ended. */
size_t parting_end(struct conn_env *env, const struct parting *p);
/* Within a few turns: a drain that is over ends thousands, and these orders are one walk. */
void parting_end_soon(struct conn_env *env, const struct parting *p);
/* Once a second: has it been parked for too long? */
void parting_tick(struct conn *c);

#endif
