/* own.c: this machine's own trouble with a connection to a node: counted, and said with its cure */
#include "config.h"

#include "nodes/own.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "nodes/node.h"
#include "stats/stats.h"

#include <stdio.h>
#include <string.h>

static const struct {
	enum counter counter;
	enum close_reason close;
} kinds[DIAL_FAULTS] = {
	[DIAL_NODE] = { STAT_node_connect_failed, CLOSE_NODE_CONNECT },
	[DIAL_PORTS] = { STAT_own_ports, CLOSE_OWN_PORTS },
	[DIAL_FILES] = { STAT_own_files, CLOSE_NO_FILES },
	[DIAL_MEMORY] = { STAT_own_memory, CLOSE_NO_MEMORY },
	[DIAL_NETWORK] = { STAT_own_network, CLOSE_OWN_NETWORK },
	[DIAL_DENIED] = { STAT_own_denied, CLOSE_OWN_DENIED },
};

void
own_trouble(struct own *o, enum dial_fault f, int err, const struct node *n,
    const struct addr *from)
{
	char text[ADDR_STRLEN], before[48] = "";
	unsigned left_out;

	stats_add(o->stats, kinds[f].counter, 1);
	if (!dial_may_log(&o->log, f, clock_ms(), &left_out))
		return;
	if (left_out > 0)
		snprintf(before, sizeof(before), " (and %u times before)", left_out);
	log_about(LOG_LEVEL_ERROR, log_of_node(LOG_EVENT_NODE, n->name),
	    "cannot dial node %s%s%s: %s%s; this is not the node's fault: %s", n->name,
	    from != NULL ? " from " : "", from != NULL ? addr_str(from, text) : "", strerror(err),
	    before, dial_cure(f));
}

enum close_reason
own_close(enum dial_fault f)
{
	return kinds[f].close;
}
