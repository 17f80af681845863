/* health.h: a real SMB NEGOTIATE to every node, again and again, and what its answers mean */
#ifndef NODES_HEALTH_H
#define NODES_HEALTH_H

#include <stdbool.h>

struct event_base;
struct health;
struct node;
struct nodes;
struct policy;
struct stats;

/*
 * Runs on the main thread's loop. doubt(arg, node) is called when a node's live connections are to
 * be looked at: it does not answer, and another one does. intercept: some clients dial the nodes
 * themselves. stats: the main thread's. NULL when out of memory.
 */
struct health *health_new(struct event_base *base, struct nodes *nodes, bool intercept,
    struct stats *stats, void (*doubt)(void *arg, struct node *node), void *arg);
void health_free(struct health **h);

/* The policy in force now (health takes a reference), after nodes_apply() with it. */
void health_policy(struct health *h, struct policy *p);

#endif
