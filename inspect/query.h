/* query.h: interface queries: which way each goes, and the list that is its answer */
#ifndef INSPECT_QUERY_H
#define INSPECT_QUERY_H

#include <stdbool.h>

#include "stats/close.h"

struct mediate;
struct message;
struct pending;
struct view;

/*
 *	            request                          answer
 *	(plain)     goes on                          our list instead of the node's
 *	substitute  an ECHO goes in its place        our list, signed or sealed once
 *	lift        goes on sealed, unsigned         sealed; our list, signed once
 *	re-sign     goes on signed (CMAC, HMAC)      our list, signed anew
 *	re-seal     goes on sealed                   our list, sealed anew with a fresh nonce
 *
 * Under GMAC the MessageId is the nonce of a signature: two answers signed under one MessageId give
 * the key away to whoever sees both sides. So there the node never signs an answer that we change.
 */

/*
 * Looked at before a frame of the client is walked: sets v->lift if there is a query in it that
 * can go no other way, and this can.
 */
void query_way(struct mediate *m, struct view *v);

/* An IOCTL request. 0, or -1 with the reason. */
int query_req(struct mediate *m, struct view *v, const struct message *msg,
    enum close_reason *why) __attribute__((warn_unused_result));

/* The node's answer to a query that went on. */
int query_resp(struct mediate *m, struct view *v, const struct message *msg,
    const struct pending *asked, enum close_reason *why) __attribute__((warn_unused_result));

/* The answer to the ECHO that went in a query's place. */
int query_substituted(struct mediate *m, struct view *v, const struct message *msg,
    const struct pending *asked, enum close_reason *why) __attribute__((warn_unused_result));

#endif
