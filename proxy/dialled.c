/* dialled.c: which node an intercepted client dialled, and which cluster a client has to do with */
#include "config.h"

#include "proxy/dialled.h"

#include "base/clock.h"
#include "base/log.h"
#include "nodes/cluster.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "stats/stats.h"

#include <stdio.h>

/* As the policy in force has it. */
static const struct pol_node *
dialled(const struct conn *c)
{
	return c->listener->intercept ? policy_node_at(c->env->policy, &c->mediate.self.local)
	                              : NULL;
}

struct node *
dialled_node(const struct conn *c)
{
	const struct pol_node *pn = dialled(c);
	struct nodes *nodes = c->env->route.nodes;

	if (!c->listener->intercept)
		return NULL;
	return pn != NULL ? nodes_find_policy(nodes, pn)
	                  : nodes_find_address(nodes, &c->mediate.self.local);
}

uint32_t
dialled_cluster(const struct conn *c)
{
	const char *name = c->listener->cluster;
	struct node *n = dialled_node(c);
	uint32_t cluster;

	if (n == NULL)
		return cluster_number(name[0] != '\0' ? name : c->env->policy->cluster);
	cluster = node_cluster(n, true);
	node_unref(&n);
	return cluster;
}

struct addrport
dialled_to(const struct conn *c)
{
	const struct pol_node *pn = dialled(c);
	struct addrport a = c->node->address;

	if (pn != NULL && node_is(c->node, pn))
		a.addr = c->mediate.self.local.addr;
	return a;
}

bool
dialled_forbids(const struct conn *c, const struct node *n)
{
	struct node *d = dialled_node(c);
	bool forbids = d != NULL && d != n && !d->listed;

	node_unref(&d);
	return forbids;
}

void
dialled_note(struct conn *c)
{
	struct node *n = dialled_node(c);
	char text[ADDR_STRLEN];

	if (n != NULL && n != c->node) {
		stats_add(c->env->stats, STAT_dialled_elsewhere, 1);
		log_conn(LOG_LEVEL_INFO, mediate_log(&c->mediate, LOG_EVENT_NODE),
		    "dialled_elsewhere: %s is %s's, and %s of the same cluster serves it",
		    addrport_str(&c->mediate.self.local, text), n->name, c->node->name);
	}
	node_unref(&n);
}

void
dialled_name(const struct conn *c, char dst[64])
{
	const struct pol_node *pn = dialled(c);
	char text[ADDR_STRLEN];

	snprintf(dst, 64, "%s", !c->listener->intercept ? "" :
	    pn != NULL ? pn->name : addrport_str(&c->mediate.self.local, text));
}
