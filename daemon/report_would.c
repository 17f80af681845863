/* report_would.c: what policy does to an address, and where a GUID would go, as JSON */
#include "config.h"

#include "daemon/report_explain.h"

#include "auth/keyhash.h"
#include "base/addr.h"
#include "base/guid.h"
#include "daemon/ctl_env.h"
#include "daemon/explain.h"
#include "daemon/json.h"
#include "inspect/announce.h"
#include "nodes/cluster.h"
#include "nodes/node.h"
#include "nodes/route.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "smb/ifinfo.h"
#include "state/state.h"

#include <stdio.h>
#include <string.h>

/* An address. */

static const struct pol_iface *
announced(const struct pol_interfaces *sec, const struct addr *a)
{
	for (size_t i = 0; sec != NULL && sec->mode == POL_IF_ANNOUNCE && i < sec->n; i++)
		if (addr_equal(&sec->list[i].addr, a))
			return &sec->list[i];
	return NULL;
}

/* What whoever dials the address there is told; the node's own list is not known. */
static void
add_told(json_t *o, const struct policy *p, const struct conf_listen *l, const struct addr *a)
{
	const enum pol_ifmode mode = announce_mode(p, l->name, l->intercept);
	struct ifinfo list[POL_IFACES_MAX];
	json_t *told;
	size_t n;

	/* One that is forbidden is told alone, whatever the node says. */
	if (mode == POL_IF_PASS || (mode == POL_IF_FILTER && policy_allows(p, a))) {
		jset_text(o, "told", NULL);
		return;
	}
	told = jset_array(o, "told");
	n = announce(p, l->name, mode, a, NULL, 0, list, POL_IFACES_MAX);
	for (size_t i = 0; i < n; i++)
		jadd_addr(told, &list[i].addr);
}

static void
add_listener(json_t *list, const struct ctl_env *env, const struct policy *p,
    const struct conf_listen *l, const struct addr *a)
{
	const struct pol_iface *i = announced(policy_interfaces(p, l->name), a);
	const bool is = i != NULL && policy_allows(p, a);
	json_t *o = jadd_object(list);
	char where[EXPLAIN_WHERE] = "";

	if (i != NULL)
		explain_where_line(env->conf->policy, i->line, where);
	jset_text(o, "listener", l->name);
	jset_text(o, "mode", pol_ifmode_str(announce_mode(p, l->name, l->intercept)));
	jset_bool(o, "announced", is);
	jset_name(o, "where", where);
	add_told(o, p, l, a);
}

static bool
is_meant(const struct conf_listen *l, const char *listener)
{
	return listener == NULL || strcmp(l->name, listener) == 0;
}

json_t *
report_address(const struct ctl_env *env, const struct policy *p, const struct addr *a,
    const char *listener)
{
	const struct addrport at = { *a, 0 };
	const struct pol_node *pn = policy_node_at(p, &at);
	json_t *root = json_object(), *o = jset_object(root, "address"), *list;
	char where[EXPLAIN_WHERE];

	explain_where_rule(p, env->conf->policy, a, where);
	jset_addr(o, "address", a);
	jset_bool(o, "allowed", policy_allows(p, a));
	jset_name(o, "where", where);
	jset_text(o, "node", pn == NULL ? NULL : pn->name);
	jset_bool(o, "nat", policy_is_nat(p, a));
	list = jset_array(o, "listeners");
	for (size_t i = 0; i < env->conf->nlisten; i++)
		if (is_meant(&env->conf->listen[i], listener))
			add_listener(list, env, p, &env->conf->listen[i], a);
	return root;
}

/* A GUID. */

struct claim_search {
	const struct state_key *key;
	bool found;
	unsigned connections;
	uint64_t left_ms;
	char node[STATE_NODE_LEN];
};

static void
guid_claim(void *arg, const struct state_key *key, const struct state_claim *claim,
    uint64_t left_ms)
{
	struct claim_search *s = arg;

	if (memcmp(key->b, s->key->b, sizeof(key->b)) != 0)
		return;
	s->found = true;
	s->connections = claim->others;
	s->left_ms = left_ms;
	snprintf(s->node, sizeof(s->node), "%s", claim->node);
}

/* Does it go where its claim is? It does while it lives there, and if that node takes clients. */
static bool
claim_counts(const struct ctl_env *env, const struct claim_search *s)
{
	struct node *n = s->found ? nodes_find(env->nodes, s->node) : NULL;
	bool counts = n != NULL && (s->connections > 0 || node_takes_new(n));

	node_unref(&n);
	return counts;
}

static void
add_place(json_t *list, const struct ctl_env *env, struct route_env *route,
    const struct conf_listen *l, const struct guid *g)
{
	const char *cluster = l->cluster[0] != '\0' ? l->cluster : route->policy->cluster;
	const struct state_key key = route_key_guid(g, cluster_number(cluster));
	struct claim_search s = { .key = &key };
	struct node *hash = route_hash(route, &key);
	json_t *o = jadd_object(list);
	char claim[64];
	bool counts;

	state_each(env->claims, guid_claim, &s);
	counts = claim_counts(env, &s);
	snprintf(claim, sizeof(claim), "%.*s", (int)strcspn(s.node, "="), s.node);
	jset_text(o, "listener", l->name);
	jset_name(o, "cluster", cluster);
	/* Whoever is intercepted goes to the node that it dials. */
	jset_text(o, "by", l->intercept ? "dialled" : counts ? "claim" : "hash");
	jset_text(o, "node", l->intercept ? NULL : counts ? claim : hash == NULL ? NULL
	                                                                         : hash->name);
	jset_text(o, "hash_node", hash == NULL ? NULL : hash->name);
	jset_name(o, "claim_node", claim);
	jset_int(o, "linger_s", (s.left_ms + 999) / 1000);
	node_unref(&hash);
}

json_t *
report_guid(const struct ctl_env *env, struct policy *p, const struct guid *g,
    const char *listener)
{
	struct keyhash *hash = keyhash_new(env->secret);
	struct route_env route = {
		.nodes = env->nodes,
		.state = env->claims,
		.hash = hash,
		.stats = env->stats,
		.policy = p,
	};
	json_t *root = json_object(), *o = jset_object(root, "guid"), *list;
	char text[GUID_STRLEN];

	jset_text(o, "client", guid_str(g, text));
	list = jset_array(o, "listeners");
	for (size_t i = 0; hash != NULL && i < env->conf->nlisten; i++)
		if (is_meant(&env->conf->listen[i], listener))
			add_place(list, env, &route, &env->conf->listen[i], g);
	keyhash_free(&hash);
	return root;
}
