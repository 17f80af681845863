/* history.h: pure: the last minutes of smbgate, in rings of a fixed size */
#ifndef DAEMON_HISTORY_H
#define DAEMON_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "state/state.h"

struct facts;

#define HISTORY_STEP_S 5
#define HISTORY_LEN 120			/* ten minutes */
#define HISTORY_NODES 64

enum history_line {
	HISTORY_CONNECTIONS,
	HISTORY_TO_NODE,	/* bytes a second */
	HISTORY_TO_CLIENT,
	HISTORY_ACCEPTED,	/* in the step */
	HISTORY_REFUSED,
	HISTORY_LINES
};

struct history_node {
	char name[STATE_NODE_LEN];	/* "": free */
	size_t seen;			/* the last sample that it is in */
	uint32_t connections[HISTORY_LEN];
};

/* A sample k is at k % HISTORY_LEN of each ring. */
struct history {
	size_t n;			/* samples taken so far */
	uint64_t at_ms;			/* of the last one */
	uint64_t last[HISTORY_LINES];	/* what the counters were then */
	uint64_t line[HISTORY_LINES][HISTORY_LEN];
	struct history_node nodes[HISTORY_NODES];
};

/* Nothing has been counted before now. */
void history_begin(struct history *h, uint64_t now_ms);
void history_take(struct history *h, const struct facts *f, uint64_t now_ms);

/* The samples that there are, oldest first; returns how many. */
size_t history_line(const struct history *h, enum history_line which, uint64_t dst[HISTORY_LEN]);
/* The same of a node's connections. */
size_t history_node(const struct history *h, const char *name, uint64_t dst[HISTORY_LEN]);

#endif
