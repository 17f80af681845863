/* report_old.c: what an operator is shown of clients that speak old protocols, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "daemon/json.h"
#include "inspect/caller.h"
#include "inspect/session.h"
#include "nodes/node.h"
#include "proxy/conn.h"
#include "smb/const.h"
#include "smb/names.h"

/*
 * A row a logon that is old by its dialect or by how it was made: sessions, as SMB2 has them, and
 * the connections of SMB1, of which the last logon is known.
 */

struct old_rows {
	json_t *list;
	uint64_t now_ms;
};

/* What the two kinds of rows have in common. */
static json_t *
old_row(const struct old_rows *r, const struct addrport *client, const struct addrport *local,
    const char *dialect, const char *node, uint64_t since_ms)
{
	json_t *o = jadd_object(r->list);

	jset_addrport(o, "client_address", client);
	jset_addrport(o, "local_address", local);
	jset_text(o, "dialect", dialect);
	jset_name(o, "node", node);
	jset_age(o, "age_s", since_ms, r->now_ms);
	return o;
}

static void
old_who(json_t *o, const char *user, const char *machine, enum caller_how how)
{
	jset_name(o, "user", user);
	jset_name(o, "machine", machine);
	jset_text(o, "authentication", caller_how_str(how));
}

static bool
is_old(const struct session_info *si)
{
	return si->dialect == SMB2_DIALECT_202 || si->how == CALLER_NTLMV2 ||
	    si->how == CALLER_NTLMV1 || si->how == CALLER_LM || si->how == CALLER_PLAIN;
}

static void
old_session(void *arg, const struct session_info *si, const struct channel_info *channels, size_t n)
{
	static const struct caller nobody = { .how = CALLER_UNKNOWN };
	const struct caller *by = si->by != NULL ? si->by : &nobody;
	const struct old_rows *r = arg;
	json_t *o;

	if (n == 0 || !is_old(si))
		return;
	o = old_row(r, &channels[0].ends.client, &channels[0].ends.local,
	    smb_dialect_name(si->dialect), si->node->name, si->since_ms);
	old_who(o, si->principal != NULL ? si->principal : by->user, by->machine,
	    (enum caller_how)si->how);
}

static void
old_connection(const struct old_rows *r, const struct conn_info *c)
{
	const bool in = c->smb1 && c->logged_on;
	json_t *o;

	if (!in)
		return;
	o = old_row(r, &c->client, &c->local, "SMB1", c->node, c->since_ms);
	old_who(o, c->by.user, c->by.machine[0] != '\0' ? c->by.machine : c->netbios_name,
	    (enum caller_how)c->by.how);
}

json_t *
report_old(struct sesstab *sessions, const struct conn_info *conns, size_t n, uint64_t now_ms)
{
	json_t *root = json_object();
	struct old_rows r = { .list = jset_array(root, "old"), .now_ms = now_ms };

	for (size_t i = 0; i < n; i++)
		old_connection(&r, &conns[i]);
	sesstab_each(sessions, old_session, &r);
	return root;
}
