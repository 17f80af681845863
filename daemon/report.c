/* report.c: what an operator is shown, as JSON: one object a question */
#include "config.h"

#include "daemon/report.h"

#include "base/addr.h"
#include "base/guid.h"
#include "daemon/explain.h"
#include "inspect/session.h"
#include "nodes/node.h"
#include "policy/acl.h"
#include "policy/policy.h"
#include "policy/print.h"
#include "proxy/conn.h"
#include "smb/const.h"
#include "smb/ifinfo.h"
#include "state/state.h"
#include "stats/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * json_object_set_new() and json_array_append_new() take a NULL value for an error of their own,
 * so a report that ran out of memory lacks something and nothing has to be checked in between.
 */

/* More than the policy can have: nodes that left it may still have connections. */
#define NODES_SHOWN_MAX (4 * POL_NODES_MAX)

json_t *
report_text(const char *text)
{
	json_t *s = json_string(text);
	char *copy;

	if (s != NULL)
		return s;
	copy = strdup(text);
	if (copy == NULL)
		return NULL;
	for (char *c = copy; *c != '\0'; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	s = json_string(copy);
	free(copy);
	return s;
}

static void
set_text(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key, text == NULL ? json_null() : report_text(text));
}

static void
set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void
set_bool(json_t *o, const char *key, bool v)
{
	json_object_set_new(o, key, json_boolean(v));
}

/* Adds an empty object to an array; borrowed, NULL when memory is out, which all setters take. */
static json_t *
append_object(json_t *array)
{
	json_t *o = json_object();

	return json_array_append_new(array, o) == 0 ? o : NULL;
}

static json_t *
set_array(json_t *o, const char *key)
{
	json_t *a = json_array();

	return json_object_set_new(o, key, a) == 0 ? a : NULL;
}

static void
set_age(json_t *o, const char *key, uint64_t since_ms, uint64_t now_ms)
{
	set_int(o, key, now_ms > since_ms ? (now_ms - since_ms) / 1000 : 0);
}

static void
set_session_id(json_t *o, uint64_t id)
{
	char text[24];

	/* As text: a number of JSON holds 53 bits. */
	snprintf(text, sizeof(text), "0x%016" PRIx64, id);
	set_text(o, "session_id", text);
}

static void
set_addr(json_t *o, const char *key, const struct addr *a)
{
	char text[ADDR_STRLEN];

	set_text(o, key, addr_str(a, text));
}

static void
set_addrport(json_t *o, const char *key, const struct addrport *a)
{
	char text[ADDR_STRLEN];

	set_text(o, key, addrport_str(a, text));
}

static const char *
dialect_str(uint16_t dialect)
{
	switch (dialect) {
	case SMB2_DIALECT_202:
		return "2.0.2";
	case SMB2_DIALECT_210:
		return "2.1";
	case SMB2_DIALECT_300:
		return "3.0";
	case SMB2_DIALECT_302:
		return "3.0.2";
	case SMB2_DIALECT_311:
		return "3.1.1";
	default:
		return NULL;
	}
}

static const char *
cipher_str(uint16_t cipher)
{
	switch (cipher) {
	case 0:
		return "none";
	case SMB2_CIPHER_AES128_CCM:
		return "AES-128-CCM";
	case SMB2_CIPHER_AES128_GCM:
		return "AES-128-GCM";
	case SMB2_CIPHER_AES256_CCM:
		return "AES-256-CCM";
	case SMB2_CIPHER_AES256_GCM:
		return "AES-256-GCM";
	default:
		return "unknown";
	}
}

static const char *
signing_str(uint16_t dialect, uint16_t signing)
{
	if (dialect < SMB2_DIALECT_300)
		return "HMAC-SHA256";
	if (dialect < SMB2_DIALECT_311)
		return "AES-128-CMAC";
	switch (signing) {
	case SMB2_SIGNING_HMAC_SHA256:
		return "HMAC-SHA256";
	case SMB2_SIGNING_AES_CMAC:
		return "AES-128-CMAC";
	case SMB2_SIGNING_AES_GMAC:
		return "AES-128-GMAC";
	default:
		return "unknown";
	}
}

static const char *
told_str(enum query_result told)
{
	switch (told) {
	case QUERY_NEVER:
		return "nothing";
	case QUERY_OURS:
		return "announced list";
	case QUERY_NODES:
		return "node's list";
	case QUERY_OPAQUE:
		return "opaque";
	case QUERY_GMAC:
		return "node's list: GMAC";
	case QUERY_REFUSED:
		return "refused: GMAC";
	case QUERY_ERROR:
		return "error";
	}
	return "nothing";
}

/* What stands in the way of seeing a session's messages, or NULL. */
static const char *
opaque_why(const struct session_info *si)
{
	if (si->keyed)
		return NULL;
	if (si->opaque_because != NULL)
		return si->opaque_because;
	if (si->sealed)
		return "no key: encryption is required";
	if (si->signing_required)
		return "no key: signing is required";
	return NULL;
}

json_t *
report_nodes(struct nodes *nodes, struct state *claims, uint64_t now_ms)
{
	struct node *all[NODES_SHOWN_MAX];
	size_t n = nodes_all(nodes, all, NODES_SHOWN_MAX);
	json_t *root = json_object(), *list = set_array(root, "nodes");

	for (size_t i = 0; i < n; i++) {
		struct node *x = all[i];
		json_t *o = append_object(list);

		set_text(o, "name", x->name);
		set_addrport(o, "address", &x->address);
		set_text(o, "state", node_state(x));
		set_int(o, "weight", x->weight);
		set_int(o, "connections", x->connections);
		set_int(o, "clients", state_clients(claims, x->id));
		set_int(o, "probes", x->probes);
		set_int(o, "probe_failures", x->probe_failures);
		set_int(o, "probe_us", x->probe_us);
		set_bool(o, "draining", x->drain);
		set_bool(o, "held_down", x->held_down);
		set_age(o, "since_s", x->changed_ms, now_ms);
		node_unref(&all[i]);
	}
	return root;
}

static void
told_addresses(json_t *o, const struct session_info *si)
{
	json_t *list = set_array(o, "addresses");

	for (size_t i = 0; i < si->nlist; i++) {
		char text[ADDR_STRLEN];

		json_array_append_new(list, report_text(addr_str(&si->list[i].addr, text)));
	}
}

static void
told_interfaces(json_t *o, const struct session_info *si)
{
	json_t *list = set_array(o, "addresses");

	for (size_t i = 0; i < si->nlist; i++) {
		const struct ifinfo *f = &si->list[i];
		json_t *a = append_object(list);

		set_addr(a, "address", &f->addr);
		set_int(a, "speed", f->link_speed);
		set_bool(a, "rss", (f->capability & IFINFO_RSS_CAPABLE) != 0);
		set_bool(a, "rdma", (f->capability & IFINFO_RDMA_CAPABLE) != 0);
		set_int(a, "ifindex", f->ifindex);
	}
}

/*
 * Clients are a join of three tables over the key of the claim: each connection has a key, each
 * session has that of its connections. Two sorted indexes of the connections make it n log n.
 */
struct link {
	struct state_key key;
	const struct conn_info *conn;
	json_t *sessions;	/* borrowed: the client's list */
};

struct join {
	struct link *by_key, *by_id;	/* the same n links */
	size_t n;
	json_t *clients;
	uint64_t now_ms;
};

/* False: it has not been placed, so no claim counts it. */
static bool
conn_key(const struct conn_info *c, struct state_key *key)
{
	*key = (struct state_key){ .b = { c->has_guid ? STATE_KEY_GUID : STATE_KEY_ADDR } };
	memcpy(key->b + 1, c->has_guid ? c->client_guid.b : c->client.addr.b, sizeof(key->b) - 1);
	return c->has_guid || c->stage > CONN_SECOND;
}

static int
key_cmp(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	return memcmp(x->key.b, y->key.b, sizeof(x->key.b));
}

static int
id_cmp(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	return (x->conn->id > y->conn->id) - (x->conn->id < y->conn->id);
}

/* The first connection of a key, or NULL; the others follow it up to by_key + n. */
static struct link *
first_link(const struct join *j, const struct state_key *key)
{
	size_t lo = 0, hi = j->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (memcmp(j->by_key[mid].key.b, key->b, sizeof(key->b)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == j->n || memcmp(j->by_key[lo].key.b, key->b, sizeof(key->b)) != 0)
		return NULL;
	return &j->by_key[lo];
}

static void
client_connection(json_t *list, const struct conn_info *c, uint64_t now_ms)
{
	json_t *o = append_object(list);

	set_int(o, "id", c->id);
	set_addrport(o, "client_address", &c->client);
	set_addrport(o, "local_address", &c->local);
	set_text(o, "listener", c->listener);
	set_text(o, "node", c->node[0] == '\0' ? NULL : c->node);
	set_text(o, "netbios_name", c->netbios_name[0] == '\0' ? NULL : c->netbios_name);
	set_text(o, "stage", conn_stage_str(c->stage));
	set_text(o, "dialect", c->smb1 ? "SMB1" : dialect_str(c->dialect));
	set_bool(o, "logged_on", c->logged_on);
	set_int(o, "sessions", c->sessions);
	set_age(o, "age_s", c->since_ms, now_ms);
}

static void
one_client(void *arg, const struct state_key *key, const struct state_claim *claim,
    uint64_t left_ms)
{
	struct join *j = arg;
	struct link *l = first_link(j, key);
	json_t *o = append_object(j->clients), *sessions, *conns;
	char text[ADDR_STRLEN];

	if (key->b[0] == STATE_KEY_GUID) {
		struct guid g;

		memcpy(g.b, key->b + 1, sizeof(g.b));
		set_text(o, "client", guid_str(&g, text));
		set_text(o, "kind", "guid");
	} else {
		struct addr a;

		memcpy(a.b, key->b + 1, sizeof(a.b));
		set_addr(o, "client", &a);
		set_text(o, "kind", "address");
	}
	json_object_set_new(o, "node",
	    json_stringn(claim->node, strcspn(claim->node, "=")));
	set_int(o, "connections", claim->others);
	set_bool(o, "firm", claim->firm);
	set_int(o, "linger_s", (left_ms + 999) / 1000);
	sessions = set_array(o, "sessions");
	conns = set_array(o, "connections_list");
	for (; l != NULL && l < j->by_key + j->n && memcmp(l->key.b, key->b, sizeof(key->b)) == 0;
	     l++) {
		l->sessions = sessions;
		client_connection(conns, l->conn, j->now_ms);
	}
}

/* A session belongs to the client of whichever of its channels is still there. */
static void
client_session(void *arg, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	struct join *j = arg;
	struct link *l = NULL;
	json_t *o;

	for (size_t i = 0; i < n && l == NULL; i++) {
		struct conn_info c = { .id = channels[i].ends.conn_id };
		struct link wanted = { .conn = &c };

		l = j->n == 0 ? NULL : bsearch(&wanted, j->by_id, j->n, sizeof(*l), id_cmp);
	}
	if (l == NULL)
		return;
	o = append_object(l->sessions);
	set_session_id(o, si->session_id);
	set_text(o, "told", told_str(si->query));
	told_addresses(o, si);
}

json_t *
report_clients(struct state *claims, struct sesstab *sessions, const struct conn_info *conns,
    size_t n, uint64_t now_ms)
{
	json_t *root = json_object();
	struct join j = {
		.by_key = calloc(n + 1, sizeof(*j.by_key)),
		.by_id = calloc(n + 1, sizeof(*j.by_id)),
		.clients = set_array(root, "clients"),
		.now_ms = now_ms,
	};

	if (j.by_key == NULL || j.by_id == NULL || j.clients == NULL) {
		json_decref(root);
		root = NULL;
		goto done;
	}
	for (size_t i = 0; i < n; i++) {
		struct link l = { .conn = &conns[i] };

		if (conn_key(&conns[i], &l.key))
			j.by_key[j.n++] = l;
	}
	qsort(j.by_key, j.n, sizeof(*j.by_key), key_cmp);
	state_each(claims, one_client, &j);
	/* Now that each link knows its client's list. */
	memcpy(j.by_id, j.by_key, j.n * sizeof(*j.by_id));
	qsort(j.by_id, j.n, sizeof(*j.by_id), id_cmp);
	sesstab_each(sessions, client_session, &j);
done:
	free(j.by_key);
	free(j.by_id);
	return root;
}

struct session_list {
	json_t *list;
	uint64_t now_ms;
	const struct policy *policy;	/* to explain with */
	const char *who;		/* NULL: all, and nothing is explained */
};

static void
one_finding(void *arg, const char *text)
{
	json_array_append_new(arg, report_text(text));
}

static void
one_session(void *arg, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	struct session_list *l = arg;
	json_t *o, *list;
	const char *why = opaque_why(si);
	char guid[GUID_STRLEN];

	if (l->who != NULL && !explain_names(l->who, si, channels, n))
		return;
	o = append_object(l->list);
	set_session_id(o, si->session_id);
	set_text(o, "node", si->node->name);
	set_text(o, "dialect", dialect_str(si->dialect));
	set_text(o, "client_guid", guid_str(&si->client_guid, guid));
	set_bool(o, "guest", si->guest);
	set_bool(o, "anonymous", si->anonymous);
	set_bool(o, "signing_required", si->signing_required);
	set_bool(o, "encrypted", si->sealed);
	set_text(o, "signing_algorithm", signing_str(si->dialect, si->signing));
	set_text(o, "cipher", cipher_str(si->cipher));
	set_bool(o, "keyed", si->keyed);
	set_text(o, "protection", si->keyed ? "keyed" : why == NULL ? "unsigned" : "opaque");
	if (why != NULL)
		set_text(o, "why", why);
	set_text(o, "opaque_because", why);
	set_text(o, "principal", si->principal);
	set_text(o, "told", told_str(si->query));
	told_interfaces(o, si);
	list = set_array(o, "channels");
	for (size_t i = 0; i < n; i++) {
		json_t *c = append_object(list);

		set_int(c, "connection", channels[i].ends.conn_id);
		set_addrport(c, "client_address", &channels[i].ends.client);
		set_addrport(c, "local_address", &channels[i].ends.local);
		set_bool(c, "bound", channels[i].bound);
	}
	set_age(o, "age_s", si->since_ms, l->now_ms);
	if (l->who != NULL)
		explain(l->policy, si, channels, n, one_finding, set_array(o, "findings"));
}

json_t *
report_explain(struct sesstab *sessions, const struct policy *p, const char *who, uint64_t now_ms)
{
	json_t *root = json_object();
	struct session_list l = { .list = set_array(root, "sessions"), .now_ms = now_ms,
		.policy = p, .who = who };

	sesstab_each(sessions, one_session, &l);
	return root;
}

json_t *
report_sessions(struct sesstab *sessions, uint64_t now_ms)
{
	json_t *root = json_object();
	struct session_list l = { .list = set_array(root, "sessions"), .now_ms = now_ms };

	sesstab_each(sessions, one_session, &l);
	return root;
}

static void
count_session(void *arg, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	size_t *count = arg;

	(void)si;
	(void)channels;
	(void)n;
	++*count;
}

size_t
report_count_sessions(struct sesstab *sessions)
{
	size_t n = 0;

	sesstab_each(sessions, count_session, &n);
	return n;
}

static void
policy_text(json_t *o, const struct policy *p)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		return;
	policy_print(p, f);
	if (fclose(f) == 0)
		set_text(o, "text", text);
	free(text);
}

static void
policy_nodes(json_t *o, const struct policy *p)
{
	json_t *list = set_array(o, "nodes");

	for (size_t i = 0; i < p->nnodes; i++) {
		json_t *n = append_object(list);

		set_text(n, "name", p->nodes[i].name);
		set_addrport(n, "address", &p->nodes[i].address);
		set_int(n, "weight", p->nodes[i].weight);
		set_text(n, "state", pol_nodestate_str(p->nodes[i].state));
	}
}

static void
policy_rules(json_t *o, const char *key, const struct acl *a, bool deny)
{
	json_t *list = set_array(o, key);
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < a->n; i++)
		if (a->rules[i].deny == deny)
			json_array_append_new(list, report_text(prefix_str(&a->rules[i].prefix, text)));
}

static void
policy_lists(json_t *o, const struct policy *p)
{
	json_t *sections = set_array(o, "interfaces");

	for (size_t i = 0; i < p->ninterfaces; i++) {
		const struct pol_interfaces *s = &p->interfaces[i];
		json_t *x = append_object(sections), *list;

		set_text(x, "listener", s->listener);
		set_text(x, "mode", pol_ifmode_str(s->mode));
		list = set_array(x, "addresses");
		for (size_t k = 0; k < s->n; k++) {
			json_t *a = append_object(list);

			set_addr(a, "address", &s->list[k].addr);
			set_int(a, "speed", s->list[k].speed);
			set_bool(a, "rss", s->list[k].rss);
			set_int(a, "ifindex", s->list[k].ifindex);
		}
	}
}

json_t *
report_policy(const struct policy *p, const char *path, uint64_t since_ms, uint64_t now_ms)
{
	static const char *const gmac[] = {
		[POL_GMAC_PASS] = "pass",
		[POL_GMAC_REFUSE] = "refuse",
		[POL_GMAC_RESIGN] = "resign",
	};
	json_t *root = json_object(), *o = json_object(), *addresses = json_object();

	json_object_set_new(root, "policy", o);
	set_int(o, "generation", p->generation);
	set_age(o, "since_s", since_ms, now_ms);
	set_text(o, "path", path);
	policy_nodes(o, p);
	set_text(o, "smb1", p->smb1 == POL_SMB1_ALLOW ? "allow" : "refuse");
	set_text(o, "unkeyed", p->unkeyed == POL_UNKEYED_REFUSE ? "refuse" : "pass");
	set_text(o, "gmac", gmac[p->gmac]);
	set_int(o, "pin_linger_ms", p->pin_linger);
	json_object_set_new(o, "addresses", addresses);
	policy_rules(addresses, "allow", p->addresses, false);
	policy_rules(addresses, "deny", p->addresses, true);
	policy_lists(o, p);
	policy_text(o, p);
	return root;
}

json_t *
report_stats(const struct stats *sum)
{
	json_t *root = json_object(), *o = json_object(), *closed = json_object();

	json_object_set_new(root, "stats", o);
	for (int i = 0; i < STAT_COUNT; i++)
		set_int(o, stats_name(i), sum->count[i]);
	for (int i = 0; i < CLOSE_COUNT; i++)
		set_int(closed, close_counter(i), sum->closed[i]);
	json_object_set_new(o, "closed", closed);
	return root;
}
