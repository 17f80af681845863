/* own.h: this machine's own trouble with a connection to a node: counted, and said with its cure */
#ifndef NODES_OWN_H
#define NODES_OWN_H

#include "nodes/dial.h"
#include "stats/close.h"

struct addr;
struct node;
struct stats;

/* One thread's. */
struct own {
	struct stats *stats;
	struct dial_log log;
};

/*
 * f (never DIAL_NODE) has kept this thread from dialling the node, from that address (NULL: the
 * kernel's choice); err is its errno. One line a minute and kind.
 */
void own_trouble(struct own *o, enum dial_fault f, int err, const struct node *n,
    const struct addr *from);

/* Why a client's connection ends that could not be made for it. */
enum close_reason own_close(enum dial_fault f);

#endif
