/* report_clients.c: what an operator is shown of clients, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "base/addr.h"
#include "base/guid.h"
#include "daemon/ctl_env.h"
#include "daemon/json.h"
#include "daemon/view.h"
#include "inspect/query_seen.h"
#include "inspect/session.h"
#include "nodes/last.h"
#include "proxy/conn.h"
#include "smb/names.h"
#include "state/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Clients are a join of three tables over the key of the claim: each connection has a key, each
 * session has that of its connections. Two sorted indexes of the connections make it n log n. What
 * has no claim is shown by address and node.
 */
struct link {
	struct state_key key;
	const struct conn_info *conn;
	json_t *sessions;	/* borrowed: the list of the client's row, if it has one */
	bool claimed;
};

struct join {
	struct link *by_key, *by_id;	/* the same n links */
	size_t n;
	json_t *clients;
	uint64_t now_ms;
	const struct filter *filter;	/* NULL: all are wanted */
	struct lasts *lasts;
	uint64_t left_out;		/* they linger, which is not wanted */
};

/* False: it has not been placed, so no claim counts it. */
static bool
conn_key(const struct conn_info *c, struct state_key *key)
{
	*key = (struct state_key){ .b = { c->has_guid ? STATE_KEY_GUID : STATE_KEY_ADDR } };
	memcpy(key->b + 1, c->has_guid ? c->client_guid.b : c->client.addr.b,
	    STATE_KEY_CLIENT - 1);
	if (c->has_guid)
		state_key_set_cluster(key, c->cluster);
	return c->has_guid || c->stage > CONN_SECOND;
}

static bool
same_key(const struct link *x, const struct state_key *key)
{
	return memcmp(x->key.b, key->b, sizeof(key->b)) == 0;
}

static int
key_cmp(const void *a, const void *b)
{
	const struct link *x = a, *y = b;
	int d = memcmp(x->key.b, y->key.b, sizeof(x->key.b));

	return d != 0 ? d : strcmp(x->conn->node, y->conn->node);
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
	return lo < j->n && same_key(&j->by_key[lo], key) ? &j->by_key[lo] : NULL;
}

static const char *
protection(const struct conn_info *c)
{
	return c->protection < 0 || c->sessions == 0
	    ? NULL
	    : session_protection_str((enum session_protection)c->protection);
}

static void
connection_keys(json_t *o, const struct conn_info *c, uint64_t now_ms)
{
	jset_int(o, "id", c->id);
	jset_addrport(o, "client_address", &c->client);
	jset_addrport(o, "local_address", &c->local);
	jset_text(o, "listener", c->listener);
	jset_name(o, "node", c->node);
	jset_name(o, "dialled", c->dialled);
	jset_name(o, "netbios_name", c->netbios_name);
	jset_text(o, "stage", conn_stage_str(c->stage));
	jset_text(o, "dialect", c->smb1 ? "SMB1" : smb_dialect_name(c->dialect));
	jset_bool(o, "logged_on", c->logged_on);
	jset_bool(o, "captured", c->captured);
	jset_int(o, "sessions", c->sessions);
	jset_name(o, "user", c->user);
	jset_text(o, "protection", protection(c));
	jset_seen(o, "open_files", c->open_files);
	jset_seen(o, "outstanding", c->outstanding);
	jset_int(o, "bytes_to_node", c->bytes_to_node);
	jset_int(o, "bytes_to_client", c->bytes_to_client);
	jset_age(o, "idle_s", (uint64_t)c->heard_s * 1000, now_ms);
	jset_age(o, "age_s", c->since_ms, now_ms);
}

json_t *
report_connections(const struct report_conns *live, const struct view *view, uint64_t now_ms)
{
	json_t *root = json_object(), *list = jset_array(root, "connections");

	for (size_t i = 0; i < live->n; i++) {
		const struct conn_info *c = &live->all[i];
		char guid[GUID_STRLEN];
		json_t *o;

		if (!filter_life(&view->filter, false))
			break;
		o = jadd_object(list);
		jset_text(o, "client", c->has_guid ? guid_str(&c->client_guid, guid) : NULL);
		connection_keys(o, c, now_ms);
	}
	view_apply(view, root, "connections");
	return root;
}

/* Where it is, or came from last; false: not known. */
static bool
client_address(const struct join *j, const struct state_key *key, const struct link *l,
    const struct link *end, struct addrport *a)
{
	if (l != end)
		*a = l->conn->client;
	else if (j->lasts == NULL || !lasts_find(j->lasts, key, a))
		return false;
	return true;
}

/* What its connections come to. */
static void
client_sums(json_t *o, const struct join *j, const struct link *l, const struct link *end)
{
	uint64_t to_node = 0, to_client = 0;
	const char *user = "";
	uint32_t heard_s = 0;
	int64_t files = 0;
	bool live = l != end;

	for (; l != end; l++) {
		const struct conn_info *c = l->conn;

		to_node += c->bytes_to_node;
		to_client += c->bytes_to_client;
		heard_s = c->heard_s > heard_s ? c->heard_s : heard_s;
		if (c->logged_on && c->open_files < 0)
			files = -1;
		else if (files >= 0 && c->open_files > 0)
			files += c->open_files;
		user = user[0] == '\0' ? c->user : user;
	}
	jset_name(o, "user", user);
	jset_seen(o, "open_files", live ? files : -1);
	jset_seen(o, "bytes_to_node", live ? (int64_t)to_node : -1);
	jset_seen(o, "bytes_to_client", live ? (int64_t)to_client : -1);
	if (live)
		jset_age(o, "idle_s", (uint64_t)heard_s * 1000, j->now_ms);
	else
		jset_text(o, "idle_s", NULL);
}

/* Is it wanted, but for whether it lingers? */
static bool
client_wanted(const struct join *j, const struct state_key *key, const char *node,
    const struct link *l, const struct link *end)
{
	const struct filter *f = j->filter;
	bool ends = false, session = false;
	struct addrport last = { .port = 0 };
	struct guid g;

	if (f == NULL)
		return true;
	if (l == end) {
		(void)client_address(j, key, l, end, &last);
		memcpy(g.b, key->b + 1, sizeof(g.b));
		ends = filter_ends(f, &last, key->b[0] == STATE_KEY_GUID ? &g : NULL, NULL);
		session = !filter_has_session(f);
	}
	for (; l != end; l++) {
		ends |= l->conn->ends_wanted;
		session |= l->conn->session_wanted;
	}
	return ends && session && filter_node(f, node);
}

/* The nodes that its connections dialled, each once: "n1, n2". */
static void
client_dialled(json_t *o, const struct link *l, const struct link *end)
{
	char text[256] = "";
	size_t len = 0;

	for (const struct link *k = l; k != end && len < sizeof(text); k++) {
		const char *name = k->conn->dialled;
		const struct link *before = l;

		while (before != k && strcmp(before->conn->dialled, name) != 0)
			before++;
		if (before == k && name[0] != '\0')
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
			    len > 0 ? ", " : "", name);
	}
	jset_name(o, "dialled", text);
}

/* A row, with the connections from l up to end. */
static void
client_row(struct join *j, const struct state_key *key, const char *node,
    const struct state_claim *claim, uint64_t left_ms, struct link *l, const struct link *end)
{
	struct addrport address;
	json_t *o, *sessions, *conns;
	char text[ADDR_STRLEN];

	if (!client_wanted(j, key, node, l, end))
		return;
	if (j->filter != NULL && !filter_life(j->filter, left_ms > 0)) {
		j->left_out += left_ms > 0;
		return;
	}
	o = jadd_object(j->clients);
	if (key->b[0] == STATE_KEY_GUID) {
		struct guid g;

		memcpy(g.b, key->b + 1, sizeof(g.b));
		jset_text(o, "client", guid_str(&g, text));
		jset_text(o, "kind", "guid");
	} else {
		struct addr a;

		memcpy(a.b, key->b + 1, sizeof(a.b));
		jset_addr(o, "client", &a);
		jset_text(o, "kind", "address");
	}
	jset_text(o, "address",
	    client_address(j, key, l, end, &address) ? addrport_str(&address, text) : NULL);
	jset_name(o, "node", node);
	client_dialled(o, l, end);
	client_sums(o, j, l, end);
	jset_int(o, "connections", claim->others);
	jset_bool(o, "firm", claim->firm);
	jset_int(o, "linger_s", (left_ms + 999) / 1000);
	sessions = jset_array(o, "sessions");
	conns = jset_array(o, "connections_list");
	for (; l != end; l++) {
		l->sessions = sessions;
		connection_keys(jadd_object(conns), l->conn, j->now_ms);
	}
}

static void
claimed_row(void *arg, const struct state_key *key, const struct state_claim *claim,
    uint64_t left_ms)
{
	struct join *j = arg;
	struct link *l = first_link(j, key), *end = l;
	char node[STATE_NODE_LEN];

	for (; end != NULL && end < j->by_key + j->n && same_key(end, key); end++)
		end->claimed = true;
	snprintf(node, sizeof(node), "%.*s", (int)strcspn(claim->node, "="), claim->node);
	client_row(j, key, node, claim, left_ms, l, end);
}

static void
unclaimed_rows(struct join *j)
{
	for (size_t i = 0, k; i < j->n; i = k) {
		struct link *l = &j->by_key[i];
		struct state_claim c = { .firm = false };

		for (k = i; k < j->n && key_cmp(l, &j->by_key[k]) == 0; k++)
			c.firm |= j->by_key[k].conn->logged_on;
		c.others = (unsigned)(k - i);
		if (l->key.b[0] == STATE_KEY_ADDR && !l->claimed)
			client_row(j, &l->key, l->conn->node, &c, 0, l, j->by_key + k);
	}
}

/* A session belongs to the client of whichever of its channels is still there. */
static void
client_session(void *arg, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	struct join *j = arg;
	struct link *l = NULL;
	json_t *o, *addresses;

	for (size_t i = 0; i < n && l == NULL; i++) {
		struct conn_info c = { .id = channels[i].ends.conn_id };
		struct link wanted = { .conn = &c };

		l = j->n == 0 ? NULL : bsearch(&wanted, j->by_id, j->n, sizeof(*l), id_cmp);
	}
	if (l == NULL || l->sessions == NULL)
		return;
	o = jadd_object(l->sessions);
	jset_hex(o, "session_id", si->session_id);
	jset_text(o, "told", query_result_str(si->query));
	addresses = jset_array(o, "addresses");
	for (size_t i = 0; si->asked != NULL && i < si->asked->ntold; i++)
		jadd_addr(addresses, &si->asked->list[i].addr);
}

json_t *
report_clients(const struct ctl_env *env, const struct report_conns *live, const struct view *view,
    uint64_t now_ms)
{
	json_t *root = json_object();
	struct join j = {
		.by_key = calloc(live->n + 1, sizeof(*j.by_key)),
		.by_id = calloc(live->n + 1, sizeof(*j.by_id)),
		.clients = jset_array(root, "clients"),
		.now_ms = now_ms,
		.filter = view == NULL ? NULL : &view->filter,
		.lasts = env->lasts,
	};

	if (j.by_key == NULL || j.by_id == NULL || j.clients == NULL) {
		json_decref(root);
		root = NULL;
		goto done;
	}
	for (size_t i = 0; i < live->n; i++) {
		struct link l = { .conn = &live->all[i] };

		if (conn_key(l.conn, &l.key))
			j.by_key[j.n++] = l;
	}
	qsort(j.by_key, j.n, sizeof(*j.by_key), key_cmp);
	state_each(env->claims, claimed_row, &j);
	unclaimed_rows(&j);
	/* Now that each link knows its client's list. */
	memcpy(j.by_id, j.by_key, j.n * sizeof(*j.by_id));
	qsort(j.by_id, j.n, sizeof(*j.by_id), id_cmp);
	sesstab_each(env->sessions, client_session, &j);
	jset_int(root, "lingering_left_out", j.left_out);
	if (view != NULL)
		view_apply(view, root, "clients");
done:
	free(j.by_key);
	free(j.by_id);
	return root;
}
