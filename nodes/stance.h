/* stance.h: pure: what becomes of a node by its operator, its probes and its agent together */
#ifndef NODES_STANCE_H
#define NODES_STANCE_H

#include <stdbool.h>

#include "nodes/agentline.h"

enum node_health {
	/* no probe has told yet: taken for up, a failed connection tells soon */
	NODE_UNKNOWN,
	NODE_UP,
	/*
	 * In either state nothing new is placed there, and live connections stay: see
	 * proxy/watch.h.
	 */
	NODE_DOWN,		/* cannot be reached */
	NODE_HUNG,		/* accepts and does not answer */
	NODE_LOOP,		/* is one of smbgate's own listeners: never used */
};

/* What policy or an operator says. */
enum stance_order { STANCE_ACTIVE, STANCE_DRAIN, STANCE_MAINT, STANCE_REMOVED };

struct stance {
	const char *state;	/* one word for people */
	bool takes_new;		/* clients that have nothing live anywhere */
	bool takes_more;	/* further connections of a client that is live there */
	bool takes_blindly;	/* the same of one that may be, as far as is seen without the map */
	bool lets_go;		/* its live connections end, if another node takes their clients */
};

/* Each of the three can only take away what the others leave. */
struct stance stance_of(enum stance_order order, enum node_health health, enum agent_word agent);

#endif
