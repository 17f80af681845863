/* stance.c: pure: what becomes of a node by its operator, its probes and its agent together */
#include "config.h"

#include "nodes/stance.h"

#include <stddef.h>

/* The state that is shown is that of the greatest rank. */
struct row {
	unsigned rank;
	const char *state;
	bool takes_new, takes_more, takes_blindly, lets_go;
};

static const struct row by_order[] = {
	[STANCE_ACTIVE] = { 0, NULL, true, true, true, false },
	[STANCE_DRAIN] = { 2, "drain", false, true, true, false },
	[STANCE_REMOVED] = { 5, "removed", false, true, true, false },
	[STANCE_MAINT] = { 10, "maint", false, true, true, false },
};

static const struct row by_health[] = {
	[NODE_UNKNOWN] = { 1, "unknown", true, true, true, false },
	[NODE_UP] = { 1, "up", true, true, true, false },
	[NODE_LOOP] = { 6, "loop", false, false, false, false },
	[NODE_HUNG] = { 7, "hung", false, true, false, false },
	[NODE_DOWN] = { 9, "down", false, false, false, false },
};

/*
 * A node that is no part of its cluster now answers no request, or too late, whatever its probes
 * say: its clients are better off elsewhere. It may be alive; so they go, and do not stay to see.
 */
static const struct row by_agent[AGENT_WORDS] = {
	[AGENT_NONE] = { 0, NULL, true, true, true, false },
	[AGENT_UP] = { 0, NULL, true, true, true, false },
	[AGENT_DRAIN] = { 2, "drain", false, true, true, false },
	[AGENT_MAINT] = { 3, "maint", false, true, true, false },
	[AGENT_STOPPED] = { 8, "down", false, false, false, true },
	[AGENT_DOWN] = { 8, "down", false, false, false, true },
};

struct stance
stance_of(enum stance_order order, enum node_health health, enum agent_word agent)
{
	const struct row *rows[] = { &by_order[order], &by_health[health], &by_agent[agent] };
	struct stance s = { NULL, true, true, true, false };
	unsigned rank = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s.takes_new &= rows[i]->takes_new;
		s.takes_more &= rows[i]->takes_more;
		s.takes_blindly &= rows[i]->takes_blindly;
		s.lets_go |= rows[i]->lets_go;
		if (rows[i]->rank > rank) {
			rank = rows[i]->rank;
			s.state = rows[i]->state;
		}
	}
	/* Under an operator's hands a node keeps its clients until they say otherwise. */
	s.lets_go &= order != STANCE_MAINT;
	return s;
}
