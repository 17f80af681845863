/* clusters.c: which nodes stand in for each other at each listener: checked, and said */
#include "config.h"

#include "daemon/clusters.h"

#include "base/log.h"
#include "nodes/cluster.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Of a list of nodes; a longer one is cut. */
#define NODES_TEXT 512

/* Whose nodes the clients of a listener get that does not intercept. */
static const char *
served(const struct conf_listen *l, const struct policy *p)
{
	return l->cluster[0] != '\0' ? l->cluster : p->cluster;
}

/* Who has a number among clusters, and where it was said. */
struct numbered {
	const char *kind;
	char name[STATE_NODE_LEN];
	uint32_t number;
	const char *file;
	int line;
};

/* The i-th of the nodes, and of the listeners behind them. False: it has none. */
static bool
numbered_get(struct numbered *x, const struct conf *conf, const struct policy *p, size_t i)
{
	const bool is_node = i < p->nnodes;
	const struct conf_listen *l = is_node ? NULL : &conf->listen[i - p->nnodes];
	const char *cluster = is_node ? p->nodes[i].cluster : l->cluster;

	*x = (struct numbered){
		.kind = "cluster",
		.number = cluster_number(cluster),
		.file = is_node ? policy_file_of(p, &p->nodes[i], conf->policy) : conf->path,
		.line = is_node ? p->nodes[i].line : l->line,
	};
	snprintf(x->name, sizeof(x->name), "%s", cluster);
	if (x->number == 0 && is_node) {
		x->kind = "node";
		node_id(&p->nodes[i], x->name);
		x->number = cluster_alone(x->name);
	}
	return x->number != 0;
}

/*
 * The keys of claims have numbers in place of names. With one number two clusters would be one, and
 * clients on the other's nodes.
 */
static void
check_numbers(const struct conf *conf, const struct policy *p, struct errlist *e)
{
	struct numbered a, b;

	for (size_t i = 0; i < p->nnodes + conf->nlisten; i++) {
		if (!numbered_get(&b, conf, p, i))
			continue;
		for (size_t j = 0; j < i; j++) {
			if (!numbered_get(&a, conf, p, j) || a.number != b.number ||
			    (strcmp(a.name, b.name) == 0 && a.kind[0] == b.kind[0]))
				continue;
			errlist_add(e, b.file, b.line,
			    "%s \"%s\" and %s \"%s\" have the same number, by chance: give one "
			    "of them another name",
			    b.kind, b.name, a.kind, a.name);
			break;
		}
	}
}

void
clusters_check(const struct conf *conf, const struct policy *p, struct errlist *e)
{
	check_numbers(conf, p, e);
	for (size_t i = 0; i < conf->nlisten; i++) {
		const struct conf_listen *l = &conf->listen[i];

		/* A server may go, and its listener stay. */
		if (!l->intercept && l->cluster[0] == '\0' && p->nnodes > 0 &&
		    policy_first_of(p, p->cluster) == NULL)
			errlist_add(e, conf->path, l->line,
			    "listen \"%s\": the nodes of %s are of several clusters: it needs "
			    "cluster = one of them",
			    l->name, conf->policy);
	}
}

/* "n1, n2": those of a cluster. How many. */
static size_t
cluster_members(const struct policy *p, const char *cluster, char text[NODES_TEXT])
{
	size_t len = 0, n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < p->nnodes; i++) {
		if (strcmp(p->nodes[i].cluster, cluster) != 0)
			continue;
		if (len < NODES_TEXT)
			len += (size_t)snprintf(text + len, NODES_TEXT - len, "%s%s",
			    n > 0 ? ", " : "", p->nodes[i].name);
		n++;
	}
	return n;
}

static void
say_served(const struct conf_listen *l, const struct policy *p)
{
	const char *cluster = served(l, p);
	char nodes[NODES_TEXT];

	if (cluster_members(p, cluster, nodes) > 0)
		log_info("listen \"%s\": clients are balanced over %s%s%s%s", l->name,
		    cluster[0] == '\0' ? "" : "cluster \"", cluster,
		    cluster[0] == '\0' ? "" : "\": ", nodes);
}

static void
say_intercepted(const struct conf_listen *l, const struct policy *p)
{
	char nodes[NODES_TEXT];

	if (cluster_members(p, "", nodes) > 0)
		log_info("listen \"%s\": each node without a cluster is on its own: who dials one "
		         "of them gets that one or none: %s",
		    l->name, nodes);
	for (size_t i = 0; i < p->nnodes; i++) {
		const char *cluster = p->nodes[i].cluster;

		/* At the first of its nodes. */
		if (cluster[0] == '\0' || policy_first_of(p, cluster) != &p->nodes[i])
			continue;
		if (cluster_members(p, cluster, nodes) > 1)
			log_info("listen \"%s\": the nodes of cluster \"%s\" stand in for each "
			         "other: %s",
			    l->name, cluster, nodes);
		else
			log_info("listen \"%s\": cluster \"%s\" is one node: who dials it gets it "
			         "or none: %s",
			    l->name, cluster, nodes);
	}
}

void
clusters_say(const struct conf *conf, const struct policy *p)
{
	for (size_t i = 0; i < conf->nlisten; i++) {
		if (conf->listen[i].intercept)
			say_intercepted(&conf->listen[i], p);
		else
			say_served(&conf->listen[i], p);
	}
}

void
clusters_warn(const struct conf *conf, const struct policy *p, struct errlist *w)
{
	bool intercepts = false, balances = false;
	char nodes[NODES_TEXT];
	const struct pol_node *first;
	const char *file;

	for (size_t i = 0; i < conf->nlisten; i++) {
		const struct conf_listen *l = &conf->listen[i];

		intercepts |= l->intercept;
		if (l->intercept)
			continue;
		balances |= served(l, p)[0] == '\0';
		if (cluster_members(p, served(l, p), nodes) == 0)
			errlist_add(w, conf->path, l->line,
			    "listen \"%s\": no node is of cluster \"%s\": clients are refused",
			    l->name, served(l, p));
	}
	if (!intercepts || cluster_members(p, "", nodes) < 2)
		return;
	first = policy_first_of(p, "");
	file = policy_file_of(p, first, conf->policy);
	if (balances)
		errlist_add(w, file, first->line,
		    "nodes %s: one cluster to clients of smbgate's own addresses, and each on "
		    "its own to clients that dial it; if they have the same files, give them "
		    "a cluster",
		    nodes);
	if (p->rebalance)
		errlist_add(w, file, first->line,
		    "rebalance = true moves no client that dials one of %s: they have no cluster",
		    nodes);
}
