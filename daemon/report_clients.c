/* report_clients.c: what an operator is shown of clients, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "base/addr.h"
#include "base/guid.h"
#include "daemon/json.h"
#include "inspect/session.h"
#include "proxy/conn.h"
#include "smb/names.h"
#include "state/state.h"

#include <stdlib.h>
#include <string.h>

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
	json_t *o = jadd_object(list);

	jset_int(o, "id", c->id);
	jset_addrport(o, "client_address", &c->client);
	jset_addrport(o, "local_address", &c->local);
	jset_text(o, "listener", c->listener);
	jset_name(o, "node", c->node);
	jset_name(o, "netbios_name", c->netbios_name);
	jset_text(o, "stage", conn_stage_str(c->stage));
	jset_text(o, "dialect", c->smb1 ? "SMB1" : smb_dialect_name(c->dialect));
	jset_bool(o, "logged_on", c->logged_on);
	jset_int(o, "sessions", c->sessions);
	jset_age(o, "age_s", c->since_ms, now_ms);
}

static void
client_row(void *arg, const struct state_key *key, const struct state_claim *claim,
    uint64_t left_ms)
{
	struct join *j = arg;
	struct link *l = first_link(j, key);
	json_t *o = jadd_object(j->clients), *sessions, *conns;
	char text[ADDR_STRLEN];

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
	json_object_set_new(o, "node",
	    json_stringn(claim->node, strcspn(claim->node, "=")));
	jset_int(o, "connections", claim->others);
	jset_bool(o, "firm", claim->firm);
	jset_int(o, "linger_s", (left_ms + 999) / 1000);
	sessions = jset_array(o, "sessions");
	conns = jset_array(o, "connections_list");
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
	json_t *o, *addresses;

	for (size_t i = 0; i < n && l == NULL; i++) {
		struct conn_info c = { .id = channels[i].ends.conn_id };
		struct link wanted = { .conn = &c };

		l = j->n == 0 ? NULL : bsearch(&wanted, j->by_id, j->n, sizeof(*l), id_cmp);
	}
	if (l == NULL)
		return;
	o = jadd_object(l->sessions);
	jset_hex(o, "session_id", si->session_id);
	jset_text(o, "told", query_result_str(si->query));
	addresses = jset_array(o, "addresses");
	for (size_t i = 0; i < si->nlist; i++)
		jadd_addr(addresses, &si->list[i].addr);
}

json_t *
report_clients(struct state *claims, struct sesstab *sessions, const struct conn_info *conns,
    size_t n, uint64_t now_ms)
{
	json_t *root = json_object();
	struct join j = {
		.by_key = calloc(n + 1, sizeof(*j.by_key)),
		.by_id = calloc(n + 1, sizeof(*j.by_id)),
		.clients = jset_array(root, "clients"),
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
	state_each(claims, client_row, &j);
	/* Now that each link knows its client's list. */
	memcpy(j.by_id, j.by_key, j.n * sizeof(*j.by_id));
	qsort(j.by_id, j.n, sizeof(*j.by_id), id_cmp);
	sesstab_each(sessions, client_session, &j);
done:
	free(j.by_key);
	free(j.by_id);
	return root;
}
