/* noderow.h: a node as a node-file has it: each value as text, and its line */
#ifndef POLICY_NODEROW_H
#define POLICY_NODEROW_H

/* Longer than any value that could be right. */
#define NODEROW_LEN 80

enum noderow_field {
	NODEROW_NAME,
	NODEROW_ADDRESS,
	NODEROW_WEIGHT,
	NODEROW_STATE,
	/* These by name alone. */
	NODEROW_CLUSTER,
	NODEROW_AGENT,
	NODEROW_FIELDS,
};

/* As keys, and as options of a section node of policy.conf; in the order of the enum. */
#define NODEROW_NAMES \
	{ \
		"name", "address", "weight", "state", "cluster", "agent" \
	}

struct noderow {
	int line;
	char value[NODEROW_FIELDS][NODEROW_LEN];	/* "": not given */
};

typedef void (*noderow_f)(void *arg, const struct noderow *r);

#endif
