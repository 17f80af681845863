/* report.c: what an operator is shown of nodes and sessions, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "base/guid.h"
#include "daemon/explain.h"
#include "daemon/json.h"
#include "inspect/session.h"
#include "nodes/logons.h"
#include "nodes/node.h"
#include "nodes/ports.h"
#include "policy/policy.h"
#include "smb/ifinfo.h"
#include "smb/names.h"
#include "state/state.h"

/* More than the policy can have: nodes that left it may still have connections. */
#define NODES_SHOWN_MAX (4 * POL_NODES_MAX)

json_t *
report_nodes(struct nodes *nodes, struct state *claims, const struct policy *p, uint64_t now_ms)
{
	struct node *all[NODES_SHOWN_MAX];
	size_t n = nodes_all(nodes, all, NODES_SHOWN_MAX);
	json_t *root = json_object(), *list = jset_array(root, "nodes");
	bool takes = false;

	for (size_t i = 0; i < n; i++) {
		struct node *x = all[i];
		json_t *o = jadd_object(list);

		jset_text(o, "name", x->name);
		jset_addrport(o, "address", &x->address);
		jset_text(o, "state", node_state(x));
		jset_int(o, "weight", x->weight);
		jset_int(o, "connections", x->connections);
		jset_int(o, "clients", state_clients(claims, x->id));
		jset_int(o, "probes", x->probes);
		jset_int(o, "probe_failures", x->probe_failures);
		jset_int(o, "probe_us", x->probe_us);
		jset_int(o, "ports", ports_fit(p, x));
		jset_int(o, "logon_timeouts", x->logon_timeouts);
		jset_bool(o, "logons_held", logons_held(x, now_ms));
		jset_bool(o, "draining", x->drain);
		jset_bool(o, "held_down", x->held_down);
		jset_bool(o, "unreached", x->unreached);
		jset_age(o, "since_s", x->changed_ms, now_ms);
		takes |= node_takes_new(x);
		node_unref(&all[i]);
	}
	jset_bool(root, "takes_clients", takes);
	return root;
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

static void
session_interfaces(json_t *o, const struct session_info *si)
{
	json_t *list = jset_array(o, "addresses");

	for (size_t i = 0; i < si->nlist; i++) {
		const struct ifinfo *f = &si->list[i];
		json_t *a = jadd_object(list);

		jset_addr(a, "address", &f->addr);
		jset_int(a, "speed", f->link_speed);
		jset_bool(a, "rss", (f->capability & IFINFO_RSS_CAPABLE) != 0);
		jset_bool(a, "rdma", (f->capability & IFINFO_RDMA_CAPABLE) != 0);
		jset_int(a, "ifindex", f->ifindex);
	}
}

struct session_report {
	json_t *list;
	uint64_t now_ms;
	const struct policy *policy;	/* to explain with */
	const char *who;		/* NULL: all, and nothing is explained */
};

static void
session_finding(void *arg, const char *text)
{
	jadd_text(arg, text);
}

static void
session_row(void *arg, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	struct session_report *l = arg;
	json_t *o, *list;
	const char *why = opaque_why(si);
	char guid[GUID_STRLEN];

	if (l->who != NULL && !explain_names(l->who, si, channels, n))
		return;
	o = jadd_object(l->list);
	jset_hex(o, "session_id", si->session_id);
	jset_text(o, "node", si->node->name);
	jset_text(o, "dialect", smb_dialect_name(si->dialect));
	jset_text(o, "client_guid", guid_str(&si->client_guid, guid));
	jset_bool(o, "guest", si->guest);
	jset_bool(o, "anonymous", si->anonymous);
	jset_bool(o, "signing_required", si->signing_required);
	jset_bool(o, "encrypted", si->sealed);
	jset_text(o, "signing_algorithm", smb_signing_name(si->dialect, si->signing));
	jset_text(o, "cipher", smb_cipher_name(si->cipher));
	jset_bool(o, "keyed", si->keyed);
	jset_text(o, "protection", si->keyed ? "keyed" : why == NULL ? "unsigned" : "opaque");
	if (why != NULL)
		jset_text(o, "why", why);
	jset_text(o, "opaque_because", why);
	jset_text(o, "principal", si->principal);
	jset_text(o, "told", query_result_str(si->query));
	session_interfaces(o, si);
	list = jset_array(o, "channels");
	for (size_t i = 0; i < n; i++) {
		json_t *c = jadd_object(list);

		jset_int(c, "connection", channels[i].ends.conn_id);
		jset_addrport(c, "client_address", &channels[i].ends.client);
		jset_addrport(c, "local_address", &channels[i].ends.local);
		jset_bool(c, "bound", channels[i].bound);
	}
	jset_age(o, "age_s", si->since_ms, l->now_ms);
	if (l->who != NULL)
		explain(l->policy, si, channels, n, session_finding, jset_array(o, "findings"));
}

json_t *
report_explain(struct sesstab *sessions, const struct policy *p, const char *who, uint64_t now_ms)
{
	json_t *root = json_object();
	struct session_report l = { .list = jset_array(root, "sessions"), .now_ms = now_ms,
		.policy = p, .who = who };

	sesstab_each(sessions, session_row, &l);
	return root;
}

json_t *
report_sessions(struct sesstab *sessions, uint64_t now_ms)
{
	json_t *root = json_object();
	struct session_report l = { .list = jset_array(root, "sessions"), .now_ms = now_ms };

	sesstab_each(sessions, session_row, &l);
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
