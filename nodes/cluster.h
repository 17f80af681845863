/* cluster.h: pure: clusters as numbers, which are the same in every proxy */
#ifndef NODES_CLUSTER_H
#define NODES_CLUSTER_H

#include <stdint.h>

/*
 * The nodes of a cluster stand in for each other, and nobody else does: claims, binds, drains and
 * all else that a client has to do with one cluster has no part in another. Its number stands in
 * the keys of claims.
 */

/* Of the name that policy gives it; "", of all nodes to which it gives none: 0. */
uint32_t cluster_number(const char *name);
/* Of a node by itself, never 0. id: its name in the map of claims. */
uint32_t cluster_alone(const char *id);

#endif
