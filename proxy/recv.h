/* recv.h: the bytes of a connection: received, spliced, sent, and whose turn it is */
#ifndef PROXY_RECV_H
#define PROXY_RECV_H

#include <stddef.h>
#include <stdint.h>

#include <event2/util.h>

struct conn;
struct side;
struct conn_env;

/*
 * As pump_ops.send: n bytes of this direction to the other leg; what the kernel does not take is
 * kept. -1: c->send_failed is set, and the caller ends the connection.
 */
int flow_send(void *side, const uint8_t *p, size_t n);

/* Bytes of this direction that were judged, and not yet taken by the other leg's kernel. */
size_t flow_owed(const struct side *s);

/* Reads those legs that may be read now, from the loop and never out of the call. */
void flow_update(struct conn *c);

/* The node is told, once it has all that the client sent, that no more comes. */
void flow_half_close(struct conn *c);

/* Of a leg whose side is arg. */
void flow_leg_cb(evutil_socket_t fd, short what, void *arg);

/* Each connection that still has something to read has one turn. */
void flow_turns(struct conn_env *env);

/* Once a second: was an end missed that came in one edge with bytes? */
void flow_tick(struct conn *c);

/* The connection is dead: it has no turn any more, and its pipes are not for others. */
void flow_stop(struct conn *c);

#endif
