/* logons.h: logons that a node leaves without an answer, and what placement makes of that */
#ifndef NODES_LOGONS_H
#define NODES_LOGONS_H

#include <stdbool.h>
#include <stdint.h>

struct node;
struct policy;

/*
 * A connection to the node ended without a logon, while the node had owed an answer for waited_ms.
 * Any thread. Long waits count: `logon-fall` of them in a row, none answered between, and new
 * clients go elsewhere for `logon-hold`.
 */
void logons_lost(struct node *n, const struct policy *p, uint64_t waited_ms, uint64_t now_ms);
/* A logon succeeded there: all is well. */
void logons_answered(struct node *n);

/* Are other nodes better for a new client: for lost logons, or for it would not be let in? */
bool logons_held(const struct node *n, uint64_t now_ms);

#endif
