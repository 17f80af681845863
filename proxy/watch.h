/* watch.h: the live connections of a node that does not answer: each ends on its own evidence */
#ifndef PROXY_WATCH_H
#define PROXY_WATCH_H

#include <stdint.h>

struct conn;

/*
 * A node that does not answer probes may serve its clients all the same: a firewall drops SYNs, a
 * listening process hangs, a queue is full. So while a node is in doubt (nodes/doubt.h)
 *
 *	its clients would be served elsewhere	their kernels ask the node's, once a second, and a
 *	                                        connection of which nothing is answered is closed
 *	they would not				nothing is closed, and no time-out of TCP's ends one
 *
 * Once a second, and when the way out is found. For a node that is not in doubt it costs nothing,
 * but where the node has no room for the client's bytes: that ends no connection either.
 */
void watch_tick(struct conn *c, uint64_t now_ms);

#endif
