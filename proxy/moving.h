/* moving.h: a connection that goes to another smbgate process, or comes from one */
#ifndef PROXY_MOVING_H
#define PROXY_MOVING_H

#include <stddef.h>
#include <stdint.h>

struct conn;
struct conn_env;
struct tlv_in;
struct tlv_out;

/*
 *	here     moving_freeze ─► moving_put ─► sent ─┬─ acknowledged ─► moving_depart
 *	                                              └─ refused, or nobody is there ─► moving_thaw
 *	there    moving_get ─► acknowledged ─┬─ said ────────► moving_begin
 *	                                     └─ nobody heard ─► moving_drop
 *
 * At any time one process alone touches the sockets: here until the record is acknowledged, there
 * from then on. A frozen connection is in no list of its worker: nothing reaches it.
 */

/* Why it cannot go as it stands now, in words for people; NULL: it can. */
const char *moving_stays(const struct conn *c);
void moving_freeze(struct conn *c);
/* It goes on here, as if nothing had been. */
void moving_thaw(struct conn *c);
/* The sockets are another process's: they are closed here, and the connection is freed. */
void moving_depart(struct conn *c);

/* All of it but the descriptors: *client and *node are the sockets, still the connection's. */
void moving_put(const struct conn *c, struct tlv_out *o, int *client, int *node);

/*
 * A connection, frozen. The sockets are its own then. NULL: *why says why not, in words for people,
 * and they are the caller's.
 */
struct conn *moving_get(struct conn_env *env, struct tlv_in in, int client, int node,
    const char **why);
/* It is ours, and begins. */
void moving_begin(struct conn *c);
/* It is not: the sockets are closed here, and nobody is told anything. */
void moving_drop(struct conn *c);

#endif
