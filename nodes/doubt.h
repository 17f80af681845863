/* doubt.h: whether a node answers its probes, and whether its clients would be served elsewhere */
#ifndef NODES_DOUBT_H
#define NODES_DOUBT_H

#include <stdbool.h>
#include <stdint.h>

struct node;
struct nodes;

/*
 * A node is in doubt from a probe that failed until one that is answered. A doubt closes nothing:
 * it has the workers look at the connections (proxy/watch.h), of which one may be closed only
 * while the doubt has a way out: another node takes new clients, and has answered while this one
 * did not. All of this is for the main thread.
 */

/* A probe was answered now. */
void doubt_over(struct node *n, uint64_t now_ms);

/*
 * A probe that began at started_ms failed now. True when that gave the doubt a way out: the workers
 * are to be told.
 */
bool doubt_grows(struct nodes *all, struct node *n, uint64_t started_ms, uint64_t now_ms)
    __attribute__((warn_unused_result));

/* From time to time: is there still a way out, is the node probed at all? */
void doubt_review(struct nodes *all, struct node *n, uint64_t now_ms);

#endif
