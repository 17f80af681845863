/* doubt.c: whether a node answers its probes, and whether its clients would be served elsewhere */
#include "config.h"

#include "nodes/doubt.h"

#include "nodes/node.h"
#include "policy/policy.h"

void
doubt_over(struct node *n, uint64_t now_ms)
{
	n->answered_ms = now_ms;
	n->gone = false;
	if (n->doubt_ms == 0)
		return;
	n->trusted_ms = now_ms;
	n->way_out_ms = 0;
	n->doubt_ms = 0;
}

/* Does another node of its cluster take new clients, and has answered since then, not in doubt? */
static bool
another_answers(struct nodes *all, const struct node *n, uint64_t since_ms)
{
	struct node *list[POL_NODES_MAX];
	size_t count = nodes_all(all, list, POL_NODES_MAX);
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		const struct node *o = list[i];

		found |= o != n && node_same_cluster(o, n, false) && node_takes_new(o) &&
		    o->doubt_ms == 0 && o->answered_ms >= since_ms;
		node_unref(&list[i]);
	}
	return found;
}

bool
doubt_way_out(struct nodes *all, const struct node *n)
{
	return another_answers(all, n, 1);
}

bool
doubt_grows(struct nodes *all, struct node *n, uint64_t started_ms, uint64_t now_ms)
{
	const bool begins = n->doubt_ms == 0;

	if (begins)
		n->doubt_ms = now_ms;
	/* What all nodes were out of reach of was nearer to us than any of them. */
	if (n->way_out_ms != 0 || !another_answers(all, n, started_ms))
		return begins;
	n->way_out_ms = now_ms;
	return true;
}

void
doubt_review(struct nodes *all, struct node *n, uint64_t now_ms)
{
	if (node_in_maint(n))
		doubt_over(n, now_ms);
	else if (n->way_out_ms != 0 && !another_answers(all, n, 1))
		n->way_out_ms = 0;
}
