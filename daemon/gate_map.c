/* gate_map.c: a running smbgate's part in the map of claims that proxies share */
#include "config.h"

#include "daemon/gate_priv.h"

#include "auth/cluster.h"
#include "auth/keyhash.h"
#include "auth/secret.h"
#include "auth/tls.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/drainer.h"
#include "daemon/elsewhere.h"
#include "daemon/letgo.h"
#include "daemon/stand.h"
#include "daemon/talk.h"
#include "inspect/ended.h"
#include "inspect/vc_reset.h"
#include "nodes/home.h"
#include "nodes/inherit.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/mailbox.h"
#include "state/keeper.h"
#include "state/orders.h"
#include "state/rests.h"
#include "state/shared.h"
#include "state/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

/* While there are drain orders. */
#define RESTS_MS 500

static void
claim_lost_cb(void *arg, const struct state_key *key)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_claim_lost(g->workers[i], key, CLOSE_CLAIM_LOST);
}

/* Where clients belong: the nodes to choose from, as they are now, each with a reference. */
struct homes {
	size_t n;
	struct node *all[POL_NODES_MAX];
};

static void
homes_free(struct homes *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < h->n; i++)
		node_unref(&h->all[i]);
	free(h);
}

/* On the keeper's thread, which takes new ones over when it sees them. */
static void
home_cb(void *arg, const struct state_key *key, const char *home[2])
{
	struct gate *g = arg;
	struct homes *next = atomic_exchange(&g->homes_next, NULL);

	if (next != NULL) {
		homes_free(g->homes);
		g->homes = next;
	}
	for (int i = 0; i < 2; i++) {
		const struct node *n = g->homes == NULL ? NULL
		    : home_of(g->homes->all, g->homes->n, g->hash, key, i == 1);

		home[i] = n == NULL ? NULL : n->id;
	}
}

static bool
is_out(const struct node *n)
{
	return n->maint || n->drain || n->drain_policy;
}

/*
 * The nodes that take no new clients, as all proxies know, each between two line feeds. Where some
 * do not, a proxy without an answer would go on to place clients there.
 */
#define OUT_MAX (POL_NODES_MAX * (STATE_NODE_LEN + 1) + 2)

static void
nodes_out(const struct homes *h, char out[OUT_MAX])
{
	char *end = out;

	*end = '\0';
	for (size_t i = 0; i < h->n; i++)
		if (is_out(h->all[i]) && h->all[i]->home_weight == 0)
			end += snprintf(end, STATE_NODE_LEN + 2, "%s%s\n", end == out ? "\n" : "",
			    h->all[i]->id);
}

/* Not keyed: who has another secret, and the same nodes, is to be seen. */
static uint64_t
nodes_hash(const struct gate *g)
{
	struct node *all[POL_NODES_MAX];
	size_t n = nodes_all(g->parts.nodes, all, POL_NODES_MAX);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		char text[16];
		int len = snprintf(text, sizeof(text), " %u %d", all[i]->weight, is_out(all[i]));

		/* In whatever order. */
		if (all[i]->listed)
			sum += keyhash(g->plain_hash, all[i]->id, strlen(all[i]->id), text,
			    (size_t)len);
		node_unref(&all[i]);
	}
	return sum;
}

void
gate_rehome(struct gate *g)
{
	struct homes *h = g->keeper == NULL ? NULL : malloc(sizeof(*h));
	char out[OUT_MAX];

	if (h == NULL)
		return;
	/* Before it knows of others, a proxy can only go by what it has. */
	if (!g->agreed)
		nodes_agree(g->parts.nodes);
	h->n = nodes_all(g->parts.nodes, h->all, POL_NODES_MAX);
	nodes_out(h, out);
	homes_free(atomic_exchange(&g->homes_next, h));
	keeper_nodes(g->keeper, nodes_hash(g), out);
}

void
gate_write_homes(void *arg, struct tlv_out *o)
{
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	if (g->keeper != NULL && g->agreed)
		homes_write(o, g->parts.nodes);
}

/* Without Redis there is nobody else to say so; with it, more is known by now. */
int
gate_read_homes(void *arg, const void *record, size_t len)
{
	struct gate *g = arg;
	int r;

	MAGIC_CHECK(g, GATE_MAGIC);
	if (g->keeper == NULL || g->agreed)
		return 0;
	r = homes_read(g->parts.nodes, record, len);
	g->agreed = r == 0;
	return r;
}

/* What other proxies are told of drained nodes. */
struct telling {
	struct gate *g;
	bool listed;		/* of nodes in the policy, or else of others */
	bool any;
	struct rests rests;
};

static void
tell_rest(void *arg, const struct order_said *said)
{
	struct telling *x = arg;
	struct rest r = { .order = elsewhere_order(x->g->hash, said->node, said->when_ms) };
	struct node *n;

	if (stand_read(said->stand).kind == STAND_ACTIVE)
		return;
	n = nodes_find(x->g->parts.nodes, said->node);
	x->any = true;
	if ((n != NULL && n->listed) == x->listed) {
		if (n != NULL)
			drainer_rest(x->g->drainer, n, &r);
		/* Before it is carried out here, there may be somebody at any moment. */
		if (n == NULL || n->drain || !n->listed)
			rests_add(&x->rests, &r);
	}
	node_unref(&n);
}

/* On the main thread, which carries orders out: what is counted was drained when it was. */
static void
tell_rests(struct gate *g)
{
	const struct timeval tv = { 0, RESTS_MS * 1000 };
	struct telling x = { .g = g, .listed = true };

	if (g->keeper == NULL)
		return;
	keeper_each_drain(g->keeper, tell_rest, &x);
	/* Should there not be room for all, it is these that are left out. */
	x.listed = false;
	keeper_each_drain(g->keeper, tell_rest, &x);
	keeper_tell_rests(g->keeper, &x.rests);
	if (x.any)
		event_add(g->rests, &tv);
}

static void
tell_rests_cb(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(g, GATE_MAGIC);
	tell_rests(g);
}

static const char *
stand_words(enum stand_kind kind)
{
	return kind == STAND_ACTIVE ? "no longer drained" :
	    kind == STAND_DRAIN     ? "drained"
	                            : "put into maintenance";
}

void
gate_drain(struct gate *g, struct node *n, const struct stand *s, enum gate_operator by,
    uint64_t age_ms)
{
	const bool drain = s->kind != STAND_ACTIVE, maint = s->kind == STAND_MAINT;
	bool changed = n->drain != drain || n->maint_operator != maint;
	struct order_said said;
	char text[STAND_TEXT];

	if (changed)
		log_about(LOG_LEVEL_INFO, log_of_node(LOG_EVENT_DRAIN, n->name),
		    "node %s: %s by the operator%s", n->name, stand_words(s->kind),
		    by == GATE_OPERATOR_ELSEWHERE ? " of another proxy" : "");
	n->drain = drain;
	/* Much may have become of a node that was not probed. */
	if (n->maint_operator && !maint)
		n->suspect_ms = clock_ms();
	n->maint_operator = maint;
	drainer_node(g->drainer, n, s, by == GATE_OPERATOR_ELSEWHERE, age_ms);
	if (by == GATE_OPERATOR_HERE && g->keeper != NULL)
		keeper_drain(g->keeper, n->id, stand_text(s, text));
	if (g->keeper != NULL && keeper_find_drain(g->keeper, n->id, &said))
		drainer_order(g->drainer, n, said.when_ms);
	/* It goes out with what this makes of our nodes, at once. */
	tell_rests(g);
	if (changed || by == GATE_OPERATOR_HERE)
		gate_rehome(g);
}

/* The last word on a node, this proxy's own included. */
static void
drain_elsewhere(void *arg, const struct order_said *said)
{
	struct gate *g = arg;
	struct node *n;
	struct stand s;

	MAGIC_CHECK(g, GATE_MAGIC);
	n = nodes_find(g->parts.nodes, said->node);
	s = stand_read(said->stand);
	/* What is known goes on as it is: repeated after each reload, in no order. */
	if (n != NULL && (s.kind != STAND_ACTIVE ? !drainer_has(g->drainer, n, &s, said->when_ms)
	                                         : n->drain))
		gate_drain(g, n, &s, GATE_OPERATOR_ELSEWHERE, said->age_ms);
	node_unref(&n);
}

void
gate_repeat_drains(struct gate *g)
{
	if (g->keeper != NULL)
		keeper_each_drain(g->keeper, drain_elsewhere, g);
	tell_rests(g);
}

/* What the keeper has to say to the main thread. */
#define NEWS_MAGIC 0x6d617077u

struct map_news {
	MAGIC_MEMBER
	struct gate *g;
	bool is_drain, is_talk;
	struct talk talk;
	uint64_t nodes;
};

static void
news_call(void *arg)
{
	struct map_news *x = arg;
	struct gate *g = x->g;

	MAGIC_CHECK(x, NEWS_MAGIC);
	MAGIC_CHECK(g, GATE_MAGIC);
	if (x->is_drain) {
		/* Not what came: meanwhile an operator here may have said something else. */
		gate_repeat_drains(g);
	} else if (x->is_talk) {
		letgo_heard(g->letgo, &x->talk);
	} else if (x->nodes == nodes_hash(g)) {
		g->agreed = true;
		if (nodes_agree(g->parts.nodes))
			gate_rehome(g);
	}
	MAGIC_CLEAR(x);
	free(x);
}

static void
news_post(struct map_news news)
{
	struct map_news *x = malloc(sizeof(*x));

	if (x == NULL)
		return;
	*x = news;
	MAGIC_SET(x, NEWS_MAGIC);
	if (mailbox_post(x->g->mailbox, news_call, x) == -1)
		free(x);
}

static void
drain_cb(void *arg)
{
	news_post((struct map_news){ .g = arg, .is_drain = true });
}

static void
agreed_cb(void *arg, uint64_t nodes)
{
	news_post((struct map_news){ .g = arg, .nodes = nodes });
}

/*
 * The proxies' clocks are compared over Redis, and a client may open connections through two of
 * them at once: what began about then is not older.
 */
#define RESET_MARGIN_MS 1000

static void
reset_elsewhere_cb(void *arg, const struct state_reset *said)
{
	const uint64_t now = clock_ms(), age = said->age_ms + RESET_MARGIN_MS;
	struct vc_reset r = { .key = said->key, .before_ms = now > age ? now - age : 0 };
	struct gate *g = arg;

	MAGIC_CHECK(g, GATE_MAGIC);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_vc_reset(g->workers[i], &r);
}

/* A session is over: its channels here give it up with their next tick. Or clients are to go. */
static bool
told_elsewhere_cb(void *arg, const void *bytes, size_t len)
{
	struct gate *g = arg;
	struct map_news x = { .g = g, .is_talk = true };
	struct ended_session e;
	int known;

	MAGIC_CHECK(g, GATE_MAGIC);
	if (talk_read(g->parts.secret, bytes, len, &x.talk) == 0) {
		news_post(x);
		return true;
	}
	known = ended_heard(g->parts.secret, g->parts.sessions, g->parts.nodes, bytes, len, &e);
	if (known == 1)
		shared_fact_drop(g->parts.shared, e.session_id, e.node, true);
	return known != -1;
}

static const struct keeper_ops keeper_ops = {
	.lost = claim_lost_cb,
	.drain = drain_cb,
	.reset = reset_elsewhere_cb,
	.told = told_elsewhere_cb,
	.agreed = agreed_cb,
	.home = home_cb,
};

/* What smbgate.conf says of Redis, as state/ takes it; the texts stay the configuration's. */
static void
redis_conf(struct link_conf *dst, const struct conf *conf, const struct wire_tls *tls)
{
	const struct conf_redis *src = &conf->redis;

	_Static_assert(LINK_SERVERS_MAX >= CONF_SERVERS_MAX && WIRE_PATH_MAX >= CONF_SOCKET_MAX &&
	    TLS_WHY <= FAULT_WORDS, "a configuration fits into the link");

	*dst = (struct link_conf){ .nservers = src->nservers, .sentinel = src->sentinel,
		.tls = tls, .timeout_ms = src->timeout_ms };
	/* Who may not read a file any more stays with what it was at the start. */
	dst->at = (struct login){ src->user, src->password, conf->redis_password };
	dst->at_sentinel = (struct login){ src->sentinel_user, src->sentinel_password,
		conf->sentinel_password };
	for (size_t i = 0; i < src->nservers; i++) {
		dst->servers[i].address = src->servers[i].address;
		memcpy(dst->servers[i].path, src->servers[i].path, sizeof(src->servers[i].path));
	}
}

int
gate_share_map(struct gate *g, const struct secret *secret, struct tls *tls)
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
	g->tls = (struct wire_tls){ .arg = tls, .open = tls_open, .why = tls_why,
		.write_last = tls_write_last };
	redis_conf(&g->redis, g->conf, tls == NULL ? NULL : &g->tls);
	g->parts.shared = shared_new(&g->redis, &g->seal, GATE_CLAIMS_MAX);
	if (g->parts.shared == NULL)
		return -1;
	g->hash = keyhash_new(secret);
	g->plain_hash = keyhash_new(&(struct secret){ .len = 0 });
	return g->hash == NULL || g->plain_hash == NULL ? -1 : 0;
}

int
gate_keep_map(struct gate *g)
{
	if (g->parts.shared == NULL)
		return 0;
	g->rests = evtimer_new(g->base, tell_rests_cb, g);
	g->keeper = g->rests == NULL ? NULL : keeper_new(g->parts.shared, &keeper_ops, g);
	if (g->keeper == NULL)
		return -1;
	g->ctl_env.keeper = g->keeper;
	gate_rehome(g);
	return 0;
}

void
gate_leave_map(struct gate *g)
{
	if (g->rests != NULL)
		event_free(g->rests);
	g->rests = NULL;
	keeper_free(&g->keeper);
	/* What it still had to say. */
	if (g->mailbox != NULL)
		mailbox_drain(g->mailbox);
	homes_free(g->homes);
	homes_free(atomic_exchange(&g->homes_next, NULL));
	keyhash_free(&g->hash);
	keyhash_free(&g->plain_hash);
}
