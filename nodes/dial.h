/* dial.h: pure: what a connect that failed says, of the node or of this machine */
#ifndef NODES_DIAL_H
#define NODES_DIAL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Only DIAL_NODE speaks of the node, or of the way to it. All others are this machine's: they never
 * count against a node, for its neighbours fail in the same way.
 */
enum dial_fault {
	DIAL_NODE,
	DIAL_PORTS,		/* no local port is left toward that address */
	DIAL_FILES,		/* no descriptor */
	DIAL_MEMORY,
	DIAL_NETWORK,		/* no interface, address or route of this machine leads there */
	DIAL_DENIED,		/* this machine's firewall or security module */
	DIAL_FAULTS
};

/*
 * err: of socket(2), bind(2) or connect(2), or SO_ERROR; at_once: the call itself failed, so
 * nothing was heard of the network. A route that is missing here is told apart so from one that a
 * router says is missing.
 */
enum dial_fault dial_fault(int err, bool at_once);

/* What to do about it, for the log. */
const char *dial_cure(enum dial_fault f);

/* One line a minute for each kind: it belongs to one thread. */
struct dial_log {
	uint64_t next_ms[DIAL_FAULTS];
	unsigned left_out[DIAL_FAULTS];
};

/* May a line about this one be written now? Then *left_out is how many were not since the last. */
bool dial_may_log(struct dial_log *l, enum dial_fault f, uint64_t now_ms, unsigned *left_out);

#endif
