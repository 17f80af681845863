/* facts.c: what is seen of a running smbgate over HTTP, as plain values */
#include "config.h"

#include "daemon/facts.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/accepted.h"
#include "daemon/ctl_env.h"
#include "daemon/gauges.h"
#include "daemon/guard.h"
#include "daemon/ready.h"
#include "daemon/report.h"
#include "daemon/takeover.h"
#include "nodes/logons.h"
#include "nodes/node.h"
#include "proxy/worker.h"
#include "state/keeper.h"
#include "state/shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void
facts_sum(const struct ctl_env *env, struct stats *sum)
{
	*sum = (struct stats){ .count = { 0 } };
	for (size_t i = 0; i < env->nworkers; i++)
		stats_sum(sum, &env->workers[i]->stats);
	stats_sum(sum, env->stats);
}

static void
facts_node(struct facts_node *f, struct node *n, struct state *claims, uint64_t now_ms)
{
	uint64_t probes = n->probes, failures = n->probe_failures, since;

	snprintf(f->name, sizeof(f->name), "%s", n->name);
	addrport_str(&n->address, f->address);
	f->state = node_state(n);
	f->takes_new = node_takes_new(n);
	f->unreached = n->unreached;
	f->held_down = n->held_down;
	f->logons_held = logons_held(n, now_ms);
	f->weight = n->weight;
	f->clients = state_clients(claims, n->id);
	f->connections = n->connections;
	for (size_t i = 0; i < CONF_LISTEN_MAX; i++)
		f->at_listener[i] = n->at_listener[i];
	f->probes_ok = probes > failures ? probes - failures : 0;
	f->probes_no_way = n->probe_no_way;
	f->probes_silent = failures > f->probes_no_way ? failures - f->probes_no_way : 0;
	f->probe_us = n->probe_us;
	f->logons = n->logons;
	f->logons_failed = n->logons_failed;
	if (n->agent.port != 0 && n->agent_word != AGENT_NONE)
		f->agent = agent_word_str((enum agent_word)n->agent_word);
	memcpy(f->agent_why, n->agent_why, sizeof(f->agent_why));
	since = node_state_since(n, now_ms);
	f->since_s = now_ms > since ? (now_ms - since) / 1000 : 0;
}

/* A name belongs to one row: a node that left the policy may have had that of one which came. */
static void
facts_names(struct facts *f, struct node *const *all)
{
	for (size_t i = 0; i < f->nnodes; i++)
		for (size_t k = 0; k < f->nnodes && !all[i]->listed; k++)
			if (k != i && strcmp(all[i]->name, all[k]->name) == 0)
				memcpy(f->nodes[i].name, all[i]->id, sizeof(f->nodes[i].name));
}

static void
facts_sessions(struct facts *f, const struct ctl_env *env, struct node *const *all,
    uint64_t now_ms)
{
	struct session_tally rows[FACTS_NODES_MAX];

	for (size_t i = 0; i < f->nnodes; i++)
		rows[i] = (struct session_tally){ .node = all[i] };
	sesstab_tally(env->sessions, rows, f->nnodes);
	if (f->details)
		f->nnewest = sesstab_newest(env->sessions, f->newest, FACTS_NEWEST_MAX);
	for (size_t i = 0; i < f->nnodes; i++) {
		memcpy(f->nodes[i].sessions, rows[i].sessions, sizeof(rows[i].sessions));
		memcpy(f->nodes[i].channels, rows[i].channels, sizeof(rows[i].channels));
		f->nodes[i].files = rows[i].files;
	}
	for (size_t i = 0; i < f->nnewest; i++) {
		f->newest_age_s[i] = (now_ms - f->newest[i].since_ms) / 1000;
		f->newest_node[i] = "";
		for (size_t k = 0; k < f->nnodes; k++)
			if (all[k] == f->newest[i].node)
				f->newest_node[i] = f->nodes[k].name;
	}
}

static void
facts_traffic(struct facts *f, const struct ctl_env *env)
{
	f->ntraffic = nodes_names(env->nodes);
	for (unsigned i = 0; i < f->ntraffic; i++) {
		f->traffic[i].name = nodes_name(env->nodes, i);
		workers_moved(env->workers, env->nworkers, i, f->traffic[i].bytes);
		nodes_moved_before(env->nodes, i, f->traffic[i].bytes);
	}
}

static void
facts_nodes(struct facts *f, const struct ctl_env *env, uint64_t now_ms)
{
	struct node *all[FACTS_NODES_MAX];

	f->nnodes = nodes_all(env->nodes, all, FACTS_NODES_MAX);
	for (size_t i = 0; i < f->nnodes; i++)
		facts_node(&f->nodes[i], all[i], env->claims, now_ms);
	facts_names(f, all);
	facts_traffic(f, env);
	facts_sessions(f, env, all, now_ms);
	for (size_t i = 0; i < f->nnodes; i++)
		node_unref(&all[i]);
}

static void
facts_listeners(struct facts *f, const struct ctl_env *env)
{
	f->nlisteners = env->conf->nlisten;
	for (size_t l = 0; l < f->nlisteners; l++) {
		struct facts_listener *x = &f->listeners[l];

		x->name = env->conf->listen[l].name;
		x->accepted = accepted_by(env, l);
		for (size_t i = 0; i < env->nworkers; i++) {
			/* What has ended first: so there are never fewer accepted. */
			struct listen_count *c = &env->workers[i]->env.listens[l];
			uint64_t closed = c->closed, accepted = c->accepted;

			x->open += accepted - closed;
		}
		for (size_t i = 0; i < f->nnodes; i++)
			x->placed += f->nodes[i].at_listener[l];
		f->connections += x->open;
	}
}

static void
facts_waits(struct facts_wait *f, struct shared *m)
{
	struct shared_stats *st = shared_stats(m);

	for (size_t i = 0; i < SHARED_WAITS; i++)
		f->all += f->within[i] = st->waited[i];
	f->us = st->wait_us_sum;
	/* Each of them holds those before it, too. */
	for (size_t i = 1; i < SHARED_WAITS; i++)
		f->within[i] += f->within[i - 1];
}

static void
facts_map(struct facts_map *f, const struct ctl_env *env)
{
	struct keeper_info info;

	if (env->shared == NULL)
		return;
	keeper_describe(env->keeper, &info);
	f->shared = true;
	f->connected = info.link.ready;
	f->degraded = report_degraded(env->shared);
	snprintf(f->server, sizeof(f->server), "%s", info.link.server);
	f->latency_us = info.latency_us;
	facts_waits(&f->wait, env->shared);
	f->npeers = info.npeers;
	memcpy(f->peers, info.peers, sizeof(f->peers));
	f->claims = shared_claims(env->shared);
	f->exceptions = shared_exceptions(env->shared);
	for (int i = 0; i < FAULT_COUNT; i++)
		f->errors[i] = shared_faults(env->shared)->count[i];
	if (f->degraded || !f->connected)
		fault_last(shared_faults(env->shared), f->trouble);
}

static void
facts_keyd(struct facts_keyd *f, const struct ctl_env *env)
{
	const char *keyd = gauges_keyd(env);

	if (keyd == NULL)
		return;
	f->wanted = true;
	f->up = strcmp(keyd, "up") == 0;
	f->readable = guard_state(env->guard)->keytab_readable;
	f->restarts = guard_state(env->guard)->keyd_restarts;
}

static void
facts_before(struct facts_before *f, const struct takeover *t, uint64_t now_ms)
{
	struct takeover_rest rest;

	if (!takeover_rest(t, &rest))
		return;
	f->pid = rest.pid;
	f->connections = rest.connections;
	f->remaining_s = rest.until_ms > now_ms ? (rest.until_ms - now_ms) / 1000 : 0;
	memcpy(f->why, rest.why, sizeof(f->why));
}

struct facts *
facts_now(const struct ctl_env *env, const struct process *process)
{
	const struct ctl_status *st = env->status;
	struct facts *f = calloc(1, sizeof(*f));
	uint64_t now_ms = clock_ms();

	if (f == NULL)
		return NULL;
	f->version = PACKAGE_VERSION;
	f->host = process->host;
	f->now = time(NULL);
	f->uptime_s = (now_ms - env->started_ms) / 1000;
	f->details = env->conf->http_details;
	facts_nodes(f, env, now_ms);
	facts_listeners(f, env);
	facts_sum(env, &f->sum);
	f->generation = st->policy->generation;
	f->policy_since_s = (now_ms - st->policy_since_ms) / 1000;
	f->reload_ok = st->last_reload_ok;
	f->reload_time = st->last_reload;
	facts_keyd(&f->keyd, env);
	facts_map(&f->map, env);
	facts_before(&f->before, env->takeover, now_ms);
	process_now(process, &f->process);
	for (int i = 0; i < LOG_EVENTS; i++)
		f->suppressed[i] = log_suppressed((enum log_event)i);
	f->ready_why = ready_takes(env);
	f->live_why = ready_live(env);
	return f;
}
