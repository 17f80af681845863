/* logons.c: logons that a node leaves without an answer, and what placement makes of that */
#include "config.h"

#include "nodes/logons.h"

#include "base/log.h"
#include "nodes/node.h"
#include "policy/policy.h"

/* A slow domain controller answers within that. Shorter limits for a logon have their half. */
#define WAIT_MS 10000

void
logons_lost(struct node *n, const struct policy *p, uint64_t waited_ms, uint64_t now_ms)
{
	const struct pol_health *h = &p->health;
	unsigned run;

	if (waited_ms < WAIT_MS && waited_ms < p->limits.logon / 2)
		return;
	atomic_fetch_add(&n->logon_timeouts, 1);
	run = atomic_fetch_add(&n->logons_lost, 1) + 1;
	if (h->logon_fall == 0 || run < h->logon_fall)
		return;
	/*
	 * Once for a run, and again when the first after the hold is lost too: that is enough then.
	 */
	if (now_ms >= n->logon_hold_ms)
		log_about(LOG_LEVEL_WARN, log_of_node(LOG_EVENT_NODE, n->name),
		    "node %s left %u logons in a row without an answer: new clients go elsewhere "
		    "for %u s, or until a logon succeeds there",
		    n->name, run, h->logon_hold / 1000);
	atomic_store(&n->logon_hold_ms, now_ms + h->logon_hold);
}

void
logons_answered(struct node *n)
{
	atomic_store(&n->logons_lost, 0);
	if (atomic_exchange(&n->logon_hold_ms, 0) != 0)
		log_about(LOG_LEVEL_INFO, log_of_node(LOG_EVENT_NODE, n->name),
		    "node %s answers logons again", n->name);
	node_served(n);
}

bool
logons_held(const struct node *n, uint64_t now_ms)
{
	return now_ms < n->logon_hold_ms || now_ms < n->full_ms;
}
