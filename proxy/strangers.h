/* strangers.h: what connections without a logon have one worker keep, and which end for it */
#ifndef PROXY_STRANGERS_H
#define PROXY_STRANGERS_H

#include <stddef.h>

struct conn;
struct conn_env;
struct strangers;

/*
 * All that has not logged on shares one budget of bytes, policy's unauthenticated-memory: frames
 * that are not whole, what waits behind a frame, what a peer does not take, logons under way. Each
 * worker has its share. When that is used up the connections that keep most end, of those that keep
 * about the same the ones that have done so for longest, until a quarter of it is free. Who has
 * logged on as a user neither counts nor ends.
 */

/* Least share of a worker, in bytes: some logons with long tokens. */
#define STRANGERS_SHARE_MIN 1000000

/* One worker's. NULL: out of memory. */
struct strangers *strangers_new(struct conn_env *env);
void strangers_free(struct strangers **s);

/*
 * c may keep more or less, or stand otherwise. Ends nobody: strangers_settle() does, or else the
 * loop's next turn.
 */
void strangers_note(struct conn *c);
/*
 * Where no connection is in the middle of anything, and env says strangers_over: ends those that
 * have to. There may be hundreds to be read in one turn of the loop, and each brings what it can.
 */
void strangers_settle(struct strangers *s);

/* Kept now. From any thread. */
size_t strangers_bytes(const struct strangers *s);

#endif
