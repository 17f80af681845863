/* health.h: a real SMB NEGOTIATE to every node, again and again, and what its answers mean */
#ifndef NODES_HEALTH_H
#define NODES_HEALTH_H

struct event_base;
struct health;
struct node;
struct nodes;
struct policy;
struct stats;

/*
 * Runs on the main thread's loop. down(arg, node) is called when a node is found dead: its
 * connections should end. stats: the main thread's. NULL when out of memory.
 */
struct health *health_new(struct event_base *base, struct nodes *nodes, struct stats *stats,
    void (*down)(void *arg, struct node *node), void *arg);
void health_free(struct health **h);

/* The policy in force now (health takes a reference) and the nodes that nodes_apply() made of it. */
void health_policy(struct health *h, struct policy *p);

#endif
