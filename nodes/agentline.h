/* agentline.h: pure: what a node's agent says, in the words of HAProxy's agent-check */
#ifndef NODES_AGENTLINE_H
#define NODES_AGENTLINE_H

#include <stddef.h>

/* Of one answer, without its end. */
#define AGENTLINE_MAX 256
/* Of a reason; a longer one is cut. */
#define AGENTLINE_WHY 80

/* From the best to the worst: of several in one line the last one counts. */
enum agent_word {
	AGENT_NONE,	/* it has no opinion: the probe alone counts */
	AGENT_UP,	/* "up", "ready" */
	AGENT_DRAIN,
	AGENT_MAINT,
	AGENT_STOPPED,
	AGENT_DOWN,	/* "down", "fail", "failed" */
	AGENT_WORDS,
};

struct agent_says {
	enum agent_word word;
	unsigned percent;		/* of the node's weight */
	char why[AGENTLINE_WHY];	/* behind '#'; "": it does not say */
};

/*
 * Reads a line: words and "NN%" in any order, between blanks or commas, and "#why" at the end. -1:
 * it is none, or has another word.
 */
int agentline_read(struct agent_says *says, const char *line, size_t len)
    __attribute__((warn_unused_result));

const char *agent_word_str(enum agent_word w);

#endif
