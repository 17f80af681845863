/* clients.c: pure: connections put together as clients, and those that an operator means */
#include "config.h"

#include "daemon/clients.h"

#include "base/addr.h"
#include "base/guid.h"
#include "daemon/json.h"
#include "inspect/caller.h"
#include "inspect/session.h"
#include "inspect/who.h"
#include "proxy/conn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct client_ref
ref_of(const struct conn_info *c)
{
	struct client_ref r = { .conn_id = c->has_guid ? 0 : c->id };

	if (!c->has_guid)
		return r;
	r.key.b[0] = STATE_KEY_GUID;
	memcpy(r.key.b + 1, c->client_guid.b, sizeof(c->client_guid.b));
	state_key_set_cluster(&r.key, c->cluster);
	return r;
}

int
client_ref_cmp(const struct client_ref *a, const struct client_ref *b)
{
	int d = memcmp(a->key.b, b->key.b, sizeof(a->key.b));

	return d != 0 ? d : (a->conn_id > b->conn_id) - (a->conn_id < b->conn_id);
}

static int
conn_cmp(const void *a, const void *b)
{
	const struct client_ref x = ref_of(*(const struct conn_info *const *)a),
	                        y = ref_of(*(const struct conn_info *const *)b);

	return client_ref_cmp(&x, &y);
}

static void
client_add(struct client *c, const struct conn_info *i)
{
	c->n++;
	if (i->open_files < 0 && i->logged_on)
		c->open_files = -1;
	else if (c->open_files >= 0 && i->open_files > 0)
		c->open_files += i->open_files;
	if (i->heard_s > c->heard_s)
		c->heard_s = i->heard_s;
	c->quiet &= i->quiet;
	if (c->user[0] == '\0')
		snprintf(c->user, sizeof(c->user), "%s", i->by.user);
}

int
clients_init(struct clients *c, const struct conn_info *conns, size_t n)
{
	size_t k = 0;

	*c = (struct clients){ .all = calloc(n + 1, sizeof(*c->all)) };
	c->conns = calloc(n + 1, sizeof(const struct conn_info *));
	if (c->all == NULL || c->conns == NULL)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (conns[i].node[0] != '\0' && conns[i].stage < CONN_FLUSH)
			c->conns[k++] = &conns[i];
	qsort(c->conns, k, sizeof(const struct conn_info *), conn_cmp);
	for (size_t i = 0; i < k; i++) {
		const struct client_ref r = ref_of(c->conns[i]);

		if (c->n == 0 || client_ref_cmp(&c->all[c->n - 1].ref, &r) != 0)
			c->all[c->n++] = (struct client){ .ref = r, .conns = &c->conns[i],
				.quiet = true };
		client_add(&c->all[c->n - 1], c->conns[i]);
	}
	return 0;
}

void
clients_fini(struct clients *c)
{
	free(c->all);
	free(c->conns);
	*c = (struct clients){ .n = 0 };
}

static int
id_cmp(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Which client has each connection, sorted by the connection's number. */
struct owner {
	uint64_t id;
	struct client *client;
};

struct visit {
	struct owner *owners;
	size_t n;
	const struct who *who;	/* NULL: names the users */
};

/* The client of a session's channel, or NULL. */
static struct client *
owner_of(const struct visit *v, const struct channel_info *channels, size_t n)
{
	const struct owner *o = NULL;

	for (size_t i = 0; i < n && o == NULL && v->n > 0; i++)
		o = bsearch(&channels[i].ends.conn_id, v->owners, v->n, sizeof(*o), id_cmp);
	return o == NULL ? NULL : o->client;
}

static void
visit_session(void *arg, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	const struct visit *v = arg;
	struct client *c = owner_of(v, channels, n);
	const char *user = session_info_user(si);

	if (c == NULL)
		return;
	if (v->who != NULL)
		c->meant |= who_is_session(v->who, si->session_id) || who_is_user(v->who, user);
	else if (c->user[0] == '\0' && user != NULL)
		snprintf(c->user, sizeof(c->user), "%s", user);
}

static void
visit_sessions(struct clients *c, struct sesstab *sessions, const struct who *who)
{
	struct visit v = { .who = who };

	for (size_t i = 0; i < c->n; i++)
		v.n += c->all[i].n;
	v.owners = calloc(v.n + 1, sizeof(*v.owners));
	if (v.owners == NULL)
		return;
	v.n = 0;
	for (size_t i = 0; i < c->n; i++)
		for (size_t k = 0; k < c->all[i].n; k++)
			v.owners[v.n++] = (struct owner){ c->all[i].conns[k]->id, &c->all[i] };
	qsort(v.owners, v.n, sizeof(*v.owners), id_cmp);
	sesstab_each(sessions, visit_session, &v);
	free(v.owners);
}

void
clients_users(struct clients *c, struct sesstab *sessions)
{
	visit_sessions(c, sessions, NULL);
}

size_t
clients_mean(struct clients *c, struct sesstab *sessions, const struct who *who)
{
	size_t n = 0;

	if (who_has_logged_on(who))
		visit_sessions(c, sessions, who);
	for (size_t i = 0; i < c->n; i++) {
		struct client *x = &c->all[i];

		for (size_t k = 0; k < x->n; k++) {
			const struct conn_info *m = x->conns[k];

			x->meant |= who_is_conn(who, m->id) || who_is_client(who, &m->client,
			    m->has_guid ? &m->client_guid : NULL);
		}
		x->meant |= who_is_user(who, x->user);
		n += x->meant;
	}
	return n;
}

static void
client_name(const struct client *c, char dst[ADDR_STRLEN])
{
	if (c->conns[0]->has_guid)
		guid_str(&c->conns[0]->client_guid, dst);
	else
		addr_str(&c->conns[0]->client.addr, dst);
}

void
client_json(const struct client *c, json_t *o)
{
	char text[ADDR_STRLEN];

	client_name(c, text);
	jset_text(o, "client", text);
	jset_addr(o, "address", &c->conns[0]->client.addr);
	jset_name(o, "user", c->user);
	jset_text(o, "node", c->conns[0]->node);
	jset_int(o, "connections", c->n);
	jset_seen(o, "open_files", c->open_files);
}

const char *
client_text(const struct client *c, char dst[CLIENT_TEXT])
{
	char name[ADDR_STRLEN], from[ADDR_STRLEN], files[48] = "open files that cannot be seen";

	client_name(c, name);
	if (c->open_files >= 0)
		snprintf(files, sizeof(files), "%" PRId64 " open files", c->open_files);
	snprintf(dst, CLIENT_TEXT, "%s at %s, %s%s, %zu connection%s, %s", name,
	    addr_str(&c->conns[0]->client.addr, from), c->user[0] == '\0' ? "" : "user ",
	    c->user[0] == '\0' ? "no user known" : c->user, c->n, c->n == 1 ? "" : "s", files);
	return dst;
}
