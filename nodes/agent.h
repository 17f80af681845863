/* agent.h: a node's agent, asked again and again how the node is */
#ifndef NODES_AGENT_H
#define NODES_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/magic.h"
#include "nodes/agentline.h"

struct event;
struct event_base;
struct node;
struct own;
struct pol_health;

/* One node's; at most one connection at a time. All zero before agent_init(). */
struct agent {
	MAGIC_MEMBER
	struct event_base *base;
	struct node *node;		/* borrowed */
	struct own *own;
	struct addrport address;	/* port 0: there is none */
	unsigned interval, timeout, fall;	/* of policy: ms, and in a row */
	struct event *next;		/* asks again */
	struct event *patience;		/* its end */
	struct event *io;
	int fd;				/* -1: none is out */
	bool connected;
	unsigned missed;		/* in a row */
	bool silent;			/* and that was too often */
	uint64_t started_ms;
	size_t have;
	char line[AGENTLINE_MAX + 2];
};

/* -1: out of memory. agent_fini() is right after that, too. */
int agent_init(struct agent *a, struct event_base *base, struct node *n, struct own *own)
    __attribute__((warn_unused_result));
void agent_fini(struct agent *a);

/*
 * Asks the agent there every interval from now on; NULL or port 0: nobody, and what it has said
 * last counts no more. What it says is in the node (node_agent_says()); the last word holds until
 * it has given no proper answer for `fall` times in a row.
 */
void agent_policy(struct agent *a, const struct addrport *address, const struct pol_health *ph);

#endif
