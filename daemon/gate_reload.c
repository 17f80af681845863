/* gate_reload.c: a policy comes into force, at the start and with every reload */
#include "config.h"

#include "daemon/gate.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/gate_priv.h"
#include "daemon/guard.h"
#include "daemon/listeners.h"
#include "nodes/health.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/diff.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/schema.h"
#include "state/keeper.h"

#include <string.h>

static void
warn_interfaces(const struct pol_interfaces *ifs)
{
	char text[ADDR_STRLEN];

	if (ifs->n > 0 && ifs->mode != POL_IF_ANNOUNCE)
		log_warn("interfaces \"%s\": the addresses have no effect with mode = %s",
		    ifs->listener, pol_ifmode_str(ifs->mode));
	for (size_t i = 0; i < ifs->n; i++) {
		const struct addr *a = &ifs->list[i].addr;

		if (addr_is_linklocal(a) || addr_is_unspecified(a))
			log_warn("interfaces \"%s\": %s is never announced: it is %s",
			    ifs->listener, addr_str(a, text),
			    addr_is_linklocal(a) ? "link-local" : "unspecified");
	}
}

void
gate_warn(const struct conf *conf, const struct policy *p)
{
	for (size_t i = 0; i < p->ninterfaces; i++) {
		bool known = false;

		for (size_t k = 0; k < conf->nlisten; k++)
			known |= strcmp(conf->listen[k].name, p->interfaces[i].listener) == 0;
		if (!known)
			log_warn("interfaces \"%s\": there is no listener of that name",
			    p->interfaces[i].listener);
		warn_interfaces(&p->interfaces[i]);
	}
	for (size_t i = 0; i < p->nnodes; i++)
		if (p->nodes[i].public)
			log_warn("node \"%s\": its address is in a deny-file. CTDB moves public "
			         "addresses from node to node: give it one that stays",
			    p->nodes[i].name);
}

static void
log_change(void *arg, const char *line)
{
	(void)arg;
	log_info("policy: %s", line);
}

void
gate_enforce(struct gate *g, struct policy *p)
{
	struct policy *old = g->status.policy;

	p->generation = old == NULL ? 1 : old->generation + 1;
	g->status.policy = p;
	g->status.policy_since_ms = clock_ms();
	nodes_apply(g->parts.nodes, p, clock_ms());
	listeners_mark(g->conf, p, g->parts.nodes);
	/* Operators may have drained nodes that are new here. */
	if (g->keeper != NULL)
		keeper_repeat_drains(g->keeper);
	gate_rehome(g);
	health_policy(g->health, p);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_policy(g->workers[i], p);
	policy_unref(&old);
}

void
gate_check(const struct gate *g, const struct policy *p, struct errlist *e)
{
	if (p->source == POL_SOURCE_TRANSPARENT && !g->transparent)
		errlist_add(e, g->conf->policy, p->source_line,
		    "source = transparent needs CAP_NET_RAW. smbgate keeps it only where it was "
		    "started with it, and with source = transparent or intercept = true");
}

int
gate_reload(struct gate *g, struct errlist *e)
{
	struct policy *p = schema_load(g->conf->policy, e);
	unsigned changes;

	if (g->guard_ev != NULL)
		guard_reload(g->guard);
	if (p != NULL)
		gate_check(g, p, e);
	if (p != NULL)
		listeners_check(g->conf, p, e);
	if (e->total > 0)
		policy_unref(&p);
	if (p == NULL) {
		g->status.reloads_failed++;
		for (size_t i = 0; i < e->n; i++)
			log_error("%s", e->text[i]);
		log_error("policy not reloaded: %zu error%s; generation %u stays in force",
		    e->total, e->total == 1 ? "" : "s", g->status.policy->generation);
		return -1;
	}
	changes = policy_diff(g->status.policy, p, log_change, NULL);
	gate_enforce(g, p);
	g->status.reloads++;
	gate_warn(g->conf, p);
	log_info("policy reloaded: generation %u, %u change%s", p->generation, changes,
	    changes == 1 ? "" : "s");
	return 0;
}
