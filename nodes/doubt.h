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
 * A probe that began at started_ms failed now. True when a doubt began, or has a way out since now:
 * the workers are to be told, for they look at no idle connection otherwise.
 */
bool doubt_grows(struct nodes *all, struct node *n, uint64_t started_ms, uint64_t now_ms)
    __attribute__((warn_unused_result));

/* Would another node of its cluster take its clients? */
bool doubt_way_out(struct nodes *all, const struct node *n);

/* From time to time: is there still a way out, is the node probed at all? */
void doubt_review(struct nodes *all, struct node *n, uint64_t now_ms);

#endif
