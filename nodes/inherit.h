/* inherit.h: how nodes are, and what was counted of them, as one process hands it to the next */
#ifndef NODES_INHERIT_H
#define NODES_INHERIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nodes;
struct tlv_out;
struct traffic;

/*
 * Every node: its state, doubts about it, what its agent and its last NEGOTIATE answer have said,
 * and what was counted of it; all: ever, else since it was written before. Main thread.
 */
void nodes_write(struct tlv_out *o, struct nodes *n, uint64_t now_ms, bool all);
/*
 * After nodes_apply(): nodes that the policy here has not are passed over. What a probe has told
 * since then stays; counts are added. Workers are to look at the connections of nodes that are in
 * doubt then. 0, or -1: a bad record; nodes before the bad one have theirs. Main thread.
 */
int nodes_read(struct nodes *n, const void *record, size_t len, uint64_t now_ms)
    __attribute__((warn_unused_result));
/* The process before this one has ended, and its connections to nodes with it. Main thread. */
void nodes_nobody_before(struct nodes *n);

/* Where clients belong, as nodes_agree() was said of last. Main thread. */
void homes_write(struct tlv_out *o, struct nodes *n);
/*
 * The same here, of nodes that the policy here has. 0, or -1: a bad record; nodes_agree() is to be
 * said then. Main thread.
 */
int homes_read(struct nodes *n, const void *record, size_t len) __attribute__((warn_unused_result));

/* The bytes of each name in *sum beyond *told, which is as much from then on. */
void traffic_write(struct tlv_out *o, struct nodes *n, const struct traffic *sum,
    struct traffic *told);
/* nodes_moved_before() has them. 0, or -1: a bad record, as nodes_read(). Main thread. */
int traffic_read(struct nodes *n, const void *record, size_t len)
    __attribute__((warn_unused_result));

#endif
