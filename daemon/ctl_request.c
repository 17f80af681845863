/* ctl_request.c: the requests of the control socket, and what each is answered */
#include "config.h"

#include "daemon/ctl_request.h"

#include "base/clock.h"
#include "daemon/ctl_env.h"
#include "daemon/report.h"
#include "nodes/node.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "proxy/limits.h"
#include "proxy/worker.h"
#include "stats/stats.h"

#include <stdio.h>
#include <string.h>

json_t *
ctl_error(const char *text)
{
	json_t *o = json_object();

	jset_text(o, "error", text);
	return o;
}

static json_t *
clients_report(const struct ctl_env *env, const struct ctl_later *l, const struct conn_info *conns,
    size_t n)
{
	(void)l;
	return report_clients(env->claims, env->sessions, conns, n, clock_ms());
}

static json_t *
stats_report(const struct ctl_env *env, const struct ctl_later *l, const struct conn_info *conns,
    size_t n)
{
	struct stats sum = { .count = { 0 } };
	struct report_gauges now = {
		.connections = n,
		.places = limits_places(env->limits),
		.unauthenticated = limits_unauthenticated(env->limits),
		.sessions_now = report_count_sessions(env->sessions),
		.reloads = env->status->reloads,
		.reloads_failed = env->status->reloads_failed,
		.policy_generation = env->status->policy->generation,
		.workers = env->nworkers,
		.uptime_s = (clock_ms() - env->started_ms) / 1000,
		.state_degraded = report_degraded(env->shared),
	};

	(void)conns;
	for (size_t i = 0; i < env->nworkers; i++)
		stats_sum(&sum, &env->workers[i]->stats);
	stats_sum(&sum, env->stats);
	return report_stats(&sum, &now, l->describe);
}

#define COMMANDS "show, explain, drain, undrain or reload"
#define SHOWN "nodes, clients, sessions, policy, map or stats"

static json_t *
request_show(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	const struct ctl_status *st = env->status;
	const char *what = json_string_value(json_object_get(request, "what"));

	if (what == NULL)
		return ctl_error("show needs one of " SHOWN);
	if (strcmp(what, "nodes") == 0)
		return report_nodes(env->nodes, env->claims, st->policy, clock_ms());
	if (strcmp(what, "sessions") == 0)
		return report_sessions(env->sessions, clock_ms());
	if (strcmp(what, "policy") == 0)
		return report_policy(st->policy, env->policy_path, st->policy_since_ms, clock_ms());
	/* It was "state" at first, one slip away from "stats"; both stay. */
	if (strcmp(what, "map") == 0 || strcmp(what, "state") == 0)
		return report_state(env->shared, env->keeper);
	if (strcmp(what, "clients") == 0) {
		later->report = clients_report;
		return NULL;
	}
	if (strcmp(what, "stats") == 0) {
		later->report = stats_report;
		later->describe = json_is_true(json_object_get(request, "describe"));
		return NULL;
	}
	return ctl_error("unknown object of show: it is one of " SHOWN);
}

static json_t *
request_explain(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	const char *who = json_string_value(json_object_get(request, "who"));

	(void)later;
	if (who == NULL || who[0] == '\0')
		return ctl_error("explain needs a client's address or GUID, a session, or a user");
	return report_explain(env->sessions, env->status->policy, who, clock_ms());
}

static json_t *
set_drain(const struct ctl_env *env, const json_t *request, bool drain)
{
	const char *name = json_string_value(json_object_get(request, "node"));
	struct node *n;
	json_t *o;

	if (name == NULL)
		return ctl_error("the request names no node");
	n = nodes_find_name(env->nodes, name);
	if (n == NULL) {
		char text[POL_NAME_MAX + 64];

		snprintf(text, sizeof(text), "there is no node \"%.63s\"", name);
		return ctl_error(text);
	}
	env->drain(env->arg, n, drain);
	o = json_object();
	jset_text(o, "node", n->name);
	jset_bool(o, "draining", drain);
	jset_text(o, "state", node_state(n));
	jset_int(o, "connections", n->connections);
	node_unref(&n);
	return o;
}

static json_t *
request_drain(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	(void)later;
	return set_drain(env, request, true);
}

static json_t *
request_undrain(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	(void)later;
	return set_drain(env, request, false);
}

static json_t *
request_reload(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	struct errlist e = { .n = 0 };
	json_t *o, *list;

	(void)request;
	(void)later;
	if (env->reload(env->arg, &e) == 0) {
		o = json_object();
		jset_bool(o, "reloaded", true);
	} else {
		o = ctl_error("policy.conf has errors; the old policy stays in force");
		list = jset_array(o, "errors");
		for (size_t i = 0; i < e.n; i++)
			jadd_text(list, e.text[i]);
		jset_int(o, "errors_total", e.total);
	}
	jset_int(o, "generation", env->status->policy->generation);
	errlist_fini(&e);
	return o;
}

static const struct {
	const char *name;
	json_t *(*run)(const struct ctl_env *env, const json_t *request, struct ctl_later *later);
} requests[] = {
	{ "show", request_show },
	{ "explain", request_explain },
	{ "drain", request_drain },
	{ "undrain", request_undrain },
	{ "reload", request_reload },
};

json_t *
ctl_request(const struct ctl_env *env, const char *line, size_t len, struct ctl_later *later)
{
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL), *answer = NULL;
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	size_t i;

	*later = (struct ctl_later){ .report = NULL };
	for (i = 0; cmd != NULL && i < sizeof(requests) / sizeof(requests[0]); i++)
		if (strcmp(requests[i].name, cmd) == 0)
			break;
	if (!json_is_object(request))
		answer = ctl_error("a request is one line with one JSON object");
	else if (cmd == NULL || i == sizeof(requests) / sizeof(requests[0]))
		answer = ctl_error("unknown command: it is one of " COMMANDS);
	else
		answer = requests[i].run(env, request, later);
	json_decref(request);
	return answer;
}
