/* ports.h: how many connections to a node fit into this machine's local ports */
#ifndef NODES_PORTS_H
#define NODES_PORTS_H

#include <stdbool.h>
#include <stdint.h>

struct node;
struct policy;

/* To that node, from all addresses that it is dialled from; 0: no limit, or none that is known. */
uint64_t ports_fit(const struct policy *p, const struct node *n);

/* Is it time to warn? More than 80 % are in use. */
bool ports_scarce(uint64_t used, uint64_t fit);

#endif
