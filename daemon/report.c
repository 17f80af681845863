/* report.c: what an operator is shown of nodes and sessions, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "base/guid.h"
#include "daemon/ctl_env.h"
#include "daemon/drainer.h"
#include "daemon/json.h"
#include "daemon/view.h"
#include "inspect/query_seen.h"
#include "inspect/session.h"
#include "inspect/session_tally.h"
#include "nodes/logons.h"
#include "nodes/node.h"
#include "nodes/ports.h"
#include "policy/policy.h"
#include "proxy/worker.h"
#include "smb/ifinfo.h"
#include "smb/names.h"
#include "state/state.h"

#include <stdlib.h>

/* More than the policy can have: nodes that left it may still have connections. */
#define NODES_SHOWN_MAX (4 * POL_NODES_MAX)

/* All that has been moved under its name. */
static void
node_bytes(json_t *o, const struct ctl_env *env, const struct node *x)
{
	uint64_t moved[TRAFFIC_WAYS];

	workers_moved(env->workers, env->nworkers, x->traffic, moved);
	nodes_moved_before(env->nodes, x->traffic, moved);
	jset_int(o, "bytes_to_node", moved[TRAFFIC_TO_NODE]);
	jset_int(o, "bytes_to_client", moved[TRAFFIC_TO_CLIENT]);
}

/* What its agent says of it. */
static void
node_agent(json_t *o, const struct node *x, uint64_t now_ms)
{
	json_t *a;

	if (x->agent.port == 0) {
		jset_text(o, "agent", NULL);
		return;
	}
	a = jset_object(o, "agent");
	jset_addrport(a, "address", &x->agent);
	jset_text(a, "says", agent_word_str((enum agent_word)x->agent_word));
	jset_int(a, "weight_percent", x->agent_percent);
	jset_name(a, "why", x->agent_why);
	jset_int(a, "asked", x->agent_asked);
	jset_int(a, "failures", x->agent_failures);
	if (x->agent_ms != 0)
		jset_age(a, "answered_s", x->agent_ms, now_ms);
	else
		jset_text(a, "answered_s", NULL);
}

/* What its connections have open and wait for, as far as that can be seen. */
static void
node_sums(json_t *o, const struct node *x, const struct session_tally *t)
{
	jset_int(o, "open_files", t->files);
	jset_int(o, "outstanding", x->outstanding);
	jset_int(o, "unseen", x->unseen);
}

json_t *
report_nodes(const struct ctl_env *env, uint64_t now_ms)
{
	struct node *all[NODES_SHOWN_MAX];
	size_t n = nodes_all(env->nodes, all, NODES_SHOWN_MAX);
	json_t *root = json_object(), *list = jset_array(root, "nodes");
	struct session_tally *tally = calloc(n + 1, sizeof(*tally));
	bool takes = false;

	for (size_t i = 0; tally != NULL && i < n; i++)
		tally[i].node = all[i];
	if (tally != NULL)
		sesstab_tally(env->sessions, tally, n);
	for (size_t i = 0; i < n; i++) {
		struct node *x = all[i];
		json_t *o = jadd_object(list);

		jset_text(o, "name", x->name);
		jset_addrport(o, "address", &x->address);
		jset_text(o, "state", node_state(x));
		jset_int(o, "weight", x->weight);
		jset_int(o, "connections", x->connections);
		jset_int(o, "clients", state_clients(env->claims, x->id));
		jset_int(o, "probes", x->probes);
		jset_int(o, "probe_failures", x->probe_failures);
		jset_int(o, "probe_us", x->probe_us);
		jset_int(o, "ports", ports_fit(env->status->policy, x));
		jset_int(o, "logon_timeouts", x->logon_timeouts);
		jset_bool(o, "logons_held", logons_held(x, now_ms));
		jset_bool(o, "draining", x->drain);
		drainer_json(env->drainer, x, now_ms, o);
		node_agent(o, x, now_ms);
		jset_bool(o, "held_down", x->held_down);
		jset_bool(o, "unreached", x->unreached);
		jset_name(o, "probe_why", x->probe_why);
		node_bytes(o, env, x);
		if (tally != NULL)
			node_sums(o, x, &tally[i]);
		jset_age(o, "since_s", x->changed_ms, now_ms);
		jset_age(o, "state_since_s", node_state_since(x, now_ms), now_ms);
		takes |= node_takes_new(x);
		node_unref(&all[i]);
	}
	free(tally);
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

	for (size_t i = 0; si->asked != NULL && i < si->asked->ntold; i++) {
		const struct ifinfo *f = &si->asked->list[i];
		json_t *a = jadd_object(list);

		jset_addr(a, "address", &f->addr);
		jset_int(a, "speed", f->link_speed);
		jset_bool(a, "rss", (f->capability & IFINFO_RSS_CAPABLE) != 0);
		jset_bool(a, "rdma", (f->capability & IFINFO_RDMA_CAPABLE) != 0);
		jset_int(a, "ifindex", f->ifindex);
	}
}

/* The node whose address the client dialled, or that address; null: smbgate's own. */
static void
set_dialled(json_t *o, const struct policy *p, const struct channel_ends *e)
{
	bool is = e != NULL && e->intercept;
	const struct pol_node *pn = is ? policy_node_at(p, &e->local) : NULL;
	char text[ADDR_STRLEN];

	jset_text(o, "dialled", pn != NULL ? pn->name : is ? addrport_str(&e->local, text) : NULL);
}

json_t *
report_session(json_t *rows, const struct policy *p, const struct session_info *si,
    const struct channel_info *channels, size_t n, uint64_t now_ms)
{
	json_t *o = jadd_object(rows), *list;
	const char *why = opaque_why(si);
	char guid[GUID_STRLEN];

	jset_hex(o, "session_id", si->session_id);
	jset_text(o, "node", si->node->name);
	set_dialled(o, p, n > 0 ? &channels[0].ends : NULL);
	jset_text(o, "dialect", smb_dialect_name(si->dialect));
	jset_text(o, "client_guid", guid_str(&si->client_guid, guid));
	jset_bool(o, "guest", si->guest);
	jset_bool(o, "anonymous", si->anonymous);
	jset_bool(o, "signing_required", si->signing_required);
	jset_bool(o, "encrypted", si->sealed);
	jset_text(o, "signing_algorithm", smb_signing_name(si->dialect, si->signing));
	jset_text(o, "cipher", smb_cipher_name(si->cipher));
	jset_bool(o, "keyed", si->keyed);
	jset_text(o, "protection", session_protection_str(session_protection(si)));
	if (why != NULL)
		jset_text(o, "why", why);
	jset_text(o, "opaque_because", why);
	jset_text(o, "principal", si->principal);
	jset_name(o, "user", session_info_user(si));
	if (n > 0)
		jset_addrport(o, "address", &channels[0].ends.client);
	jset_text(o, "told", query_result_str(si->query));
	session_interfaces(o, si);
	list = jset_array(o, "channels");
	for (size_t i = 0; i < n; i++) {
		json_t *c = jadd_object(list);

		jset_int(c, "connection", channels[i].ends.conn_id);
		jset_addrport(c, "client_address", &channels[i].ends.client);
		jset_addrport(c, "local_address", &channels[i].ends.local);
		set_dialled(c, p, &channels[i].ends);
		jset_bool(c, "bound", channels[i].bound);
	}
	jset_age(o, "age_s", si->since_ms, now_ms);
	return o;
}

struct session_report {
	const struct filter *filter;
	json_t *list;
	uint64_t now_ms;
	const struct policy *policy;	/* to name nodes that were dialled */
};

static bool
is_wanted_session(const struct filter *f, const struct session_info *si,
    const struct channel_info *channels, size_t n)
{
	bool ends = !filter_has_ends(f);

	for (size_t i = 0; i < n && !ends; i++)
		ends = filter_ends(f, &channels[i].ends.client, &si->client_guid,
		    channels[i].ends.listener);
	return ends && filter_life(f, false) && filter_node(f, si->node->name) &&
	    filter_session(f, session_info_user(si), session_protection(si));
}

static void
session_row(void *arg, const struct session_info *si, const struct channel_info *channels,
    size_t n)
{
	const struct session_report *l = arg;

	if (is_wanted_session(l->filter, si, channels, n))
		(void)report_session(l->list, l->policy, si, channels, n, l->now_ms);
}

json_t *
report_sessions(struct sesstab *sessions, const struct policy *p, const struct view *view,
    uint64_t now_ms)
{
	json_t *root = json_object();
	struct session_report l = {
		.list = jset_array(root, "sessions"),
		.now_ms = now_ms,
		.policy = p,
		.filter = &view->filter,
	};

	sesstab_each(sessions, session_row, &l);
	view_apply(view, root, "sessions");
	return root;
}
