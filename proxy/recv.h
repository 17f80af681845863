/* recv.h: the bytes of a connection: received or spliced, a turn at a time */
#ifndef PROXY_RECV_H
#define PROXY_RECV_H

#include <event2/util.h>

struct conn;
struct conn_env;

/* Of the edge of a leg: see proxy/edges.h. */
void recv_edge_cb(evutil_socket_t fd, short what, void *arg);

/* Each connection that still has something to read has one turn. */
void recv_turns(struct conn_env *env);

/* Once a second: was an end missed that came in one edge with bytes? */
void recv_tick(struct conn *c);

#endif
