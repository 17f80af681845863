/* traffic.h: the bytes to and from each node, by its name, as each worker counts them */
#ifndef NODES_TRAFFIC_H
#define NODES_TRAFFIC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* As enum dir has them. */
enum { TRAFFIC_TO_NODE, TRAFFIC_TO_CLIENT, TRAFFIC_WAYS };

/*
 * Every name that a node ever had has a number, which stays: so does what was counted, whether
 * connections end, the node leaves the policy, or comes back with another address. 0: of
 * connections without a node, and of names beyond the last number.
 */
#define TRAFFIC_NAMES_MAX 1024

/* One worker's, by number: it alone writes, any thread reads. */
struct traffic {
	_Atomic uint64_t bytes[TRAFFIC_NAMES_MAX][TRAFFIC_WAYS];
};

static inline void
traffic_add(struct traffic *t, unsigned number, unsigned way, uint64_t n)
{
	_Atomic uint64_t *at = &t->bytes[number][way];

	atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

#endif
