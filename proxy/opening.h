/* opening.h: a connection from its first frame to its node */
#ifndef PROXY_OPENING_H
#define PROXY_OPENING_H

#include <stddef.h>
#include <stdint.h>

#include "inspect/verdict.h"

struct conn;

/* A whole frame in CONN_FIRST, CONN_SESSION or CONN_SECOND. May end the connection itself. */
struct outcome opening_frame(struct conn *c, const uint8_t *frame, size_t len);

/* The SMB1 frame that waited for its node: it goes there as it is. */
struct outcome opening_pass_raw(struct conn *c);

/* The node's answer to the replayed SMB1 NEGOTIATE: the client has had its own. */
struct outcome opening_swallow(struct conn *c, const uint8_t *frame, size_t len);

/* An event of the node's leg in CONN_CONNECT. The caller has progress_settle() look at it after. */
void opening_dialled(struct conn *c, short what);

/* In CONN_HELD, its time over: a node is chosen once more. */
void opening_route_again(struct conn *c);

/* The node cannot be reached, or not in time: another one, or the end. */
void opening_connect_failed(struct conn *c);

#endif
