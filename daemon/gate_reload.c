/* gate_reload.c: a policy comes into force, at the start and with every reload */
#include "config.h"

#include "daemon/gate.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/clusters.h"
#include "daemon/gate_priv.h"
#include "daemon/guard.h"
#include "daemon/listeners.h"
#include "daemon/nodewatch.h"
#include "daemon/service.h"
#include "daemon/takeover.h"
#include "daemon/warnings.h"
#include "nodes/health.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/diff.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/schema.h"

#include <string.h>

void
gate_warn(const struct conf *conf, const struct policy *p)
{
	struct errlist w = { .n = 0 };

	warnings_find(conf, p, &w);
	for (size_t i = 0; i < w.n; i++)
		log_warn("%s", w.text[i]);
	errlist_fini(&w);
	clusters_say(conf, p);
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
	gate_repeat_drains(g);
	gate_rehome(g);
	health_policy(g->health, p);
	nodewatch_policy(g->nodewatch, p);
	for (size_t i = 0; i < g->nworkers; i++)
		worker_policy(g->workers[i], p);
	policy_unref(&old);
}

void
gate_check(const struct gate *g, const struct policy *p, struct errlist *e)
{
	const struct pol_listener *clients = policy_source(p, POL_SOURCE_TRANSPARENT);

	if (clients != NULL && !g->transparent)
		errlist_add(e, g->conf->policy, clients->source_line,
		    "source = transparent needs CAP_NET_RAW. smbgate keeps it only where it was "
		    "started with it, and with source = transparent or intercept = true");
}

/* A policy that has been read comes into force if this process can have it so. As gate_reload(). */
static int
take_policy(struct gate *g, struct policy *p, struct errlist *e)
{
	unsigned changes;

	if (p != NULL)
		gate_check(g, p, e);
	if (p != NULL)
		listeners_check(g->conf, p, e);
	if (p != NULL)
		clusters_check(g->conf, p, e);
	if (e->total > 0)
		policy_unref(&p);
	g->status.last_reload = time(NULL);
	g->status.last_reload_ok = p != NULL;
	if (p == NULL) {
		g->status.reloads_failed++;
		for (size_t i = 0; i < e->n; i++)
			log_error("%s", e->text[i]);
		log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_RELOAD),
		    "policy not reloaded: %zu error%s; generation %u stays in force",
		    e->total, e->total == 1 ? "" : "s", g->status.policy->generation);
		return -1;
	}
	changes = policy_diff(g->status.policy, p, log_change, NULL);
	gate_enforce(g, p);
	g->status.reloads++;
	gate_warn(g->conf, p);
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_RELOAD),
	    "policy reloaded: generation %u, %u change%s", p->generation, changes,
	    changes == 1 ? "" : "s");
	return 0;
}

int
gate_reload(struct gate *g, struct errlist *e)
{
	static const char request[] = "{\"cmd\":\"reload\"}";
	int r;

	service_reloading();
	if (g->guard_ev != NULL)
		guard_reload(g->guard);
	r = take_policy(g, schema_load(g->conf->policy, e), e);
	g->misread = r == -1;
	if (r == 0)
		(void)takeover_order(g->takeover, request, sizeof(request) - 1);
	service_ready(g->service);
	return r;
}

void
gate_reload_nodes(struct gate *g)
{
	struct errlist e = { .n = 0 };
	struct policy *p = schema_again(g->status.policy, g->conf->policy, &e);

	if (take_policy(g, p, &e) == -1)
		log_warn("node-file %s: its last good content stays in force",
		    g->status.policy->node_file);
	g->status.last_reload_ok &= !g->misread;
	errlist_fini(&e);
}
