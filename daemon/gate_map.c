/* gate_map.c: a running smbgate's part in the map of claims that proxies share */
#include "config.h"

#include "daemon/gate_priv.h"

#include "auth/cluster.h"
#include "auth/keyhash.h"
#include "auth/secret.h"
#include "base/log.h"
#include "nodes/home.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "state/keeper.h"
#include "state/shared.h"
#include "state/state.h"

#include <string.h>

static void
claim_lost_cb(void *arg, const struct state_key *key)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_claim_lost(g->workers[i], key);
}

struct homes {
	struct node *all[POL_NODES_MAX];
	size_t n;
	struct keyhash *hash;
};

static const char *
home_cb(void *arg, const struct state_key *key)
{
	struct homes *h = arg;
	const struct node *n = home_of(h->all, h->n, h->hash, key);

	return n == NULL ? NULL : n->id;
}

void
gate_rehome(struct gate *g)
{
	struct homes h = { .hash = g->hash };

	if (g->keeper == NULL)
		return;
	h.n = nodes_all(g->parts.nodes, h.all, POL_NODES_MAX);
	shared_rehome(g->parts.shared, home_cb, &h);
	keeper_hurry(g->keeper);
	for (size_t i = 0; i < h.n; i++)
		node_unref(&h.all[i]);
}

void
gate_drain(struct gate *g, struct node *n, bool drain, enum gate_operator by)
{
	bool changed = n->drain != drain;

	if (changed)
		log_info("node %s: %s by the operator%s", n->name,
		    drain ? "drained" : "no longer drained",
		    by == GATE_OPERATOR_ELSEWHERE ? " of another proxy" : "");
	n->drain = drain;
	if (by == GATE_OPERATOR_HERE && g->keeper != NULL)
		keeper_drain(g->keeper, n->id, drain);
	if (changed || by == GATE_OPERATOR_HERE)
		gate_rehome(g);
}

/* Out of Redis, also for what this proxy put there itself. */
static void
drain_elsewhere_cb(void *arg, const char *id, bool drain)
{
	struct gate *g = arg;
	struct node *n;

	MAGIC_CHECK(g, GATE_MAGIC);
	n = nodes_find(g->parts.nodes, id);
	if (n != NULL)
		gate_drain(g, n, drain, GATE_OPERATOR_ELSEWHERE);
	node_unref(&n);
}

static const struct keeper_ops keeper_ops = { .lost = claim_lost_cb, .drain = drain_elsewhere_cb };

/* What smbgate.conf says of Redis, as state/ takes it; the texts stay the configuration's. */
static void
redis_conf(struct link_conf *dst, const struct conf_redis *src)
{
	_Static_assert(LINK_SERVERS_MAX >= CONF_SERVERS_MAX && LINK_PATH_MAX >= CONF_SOCKET_MAX,
	    "a configuration fits into the link");

	*dst = (struct link_conf){ .nservers = src->nservers, .sentinel = src->sentinel,
		.user = src->user, .password = src->password, .timeout_ms = src->timeout_ms };
	for (size_t i = 0; i < src->nservers; i++) {
		dst->servers[i].address = src->servers[i].address;
		memcpy(dst->servers[i].path, src->servers[i].path, sizeof(src->servers[i].path));
	}
}

int
gate_share_map(struct gate *g, const struct secret *secret)
{
	if (g->conf->redis.nservers == 0)
		return 0;
	g->cluster = cluster_new(secret);
	if (g->cluster == NULL)
		return -1;
	g->seal = (struct record_seal){ .arg = g->cluster, .mac = cluster_mac };
	if (secret->len == 0)
		log_warn(
		    "no cluster-secret: smbgate trusts all that Redis has, and shares no keys");
	redis_conf(&g->redis, &g->conf->redis);
	g->parts.shared = shared_new(&g->redis, &g->seal, GATE_CLAIMS_MAX);
	if (g->parts.shared == NULL)
		return -1;
	g->hash = keyhash_new(secret);
	if (g->hash == NULL)
		return -1;
	g->keeper = keeper_new(g->base, g->parts.shared, &keeper_ops, g);
	return g->keeper == NULL ? -1 : 0;
}
