/* ctl_request.c: the requests of the control socket, and what each is answered */
#include "config.h"

#include "daemon/ctl_request.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/ctl_env.h"
#include "daemon/ctl_later.h"
#include "daemon/ctl_operator.h"
#include "daemon/gauges.h"
#include "daemon/loglevel.h"
#include "daemon/ready.h"
#include "daemon/report.h"
#include "daemon/report_explain.h"
#include "daemon/takeover.h"
#include "daemon/tapping.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "stats/stats.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static json_t *
clients_report(const struct ctl_env *env, const struct ctl_later *l, const struct conn_info *conns,
    size_t n)
{
	const struct report_conns live = { conns, n };

	return report_clients(env, &live, &l->view, clock_ms());
}

static json_t *
connections_report(const struct ctl_env *env, const struct ctl_later *l,
    const struct conn_info *conns, size_t n)
{
	const struct report_conns live = { conns, n };

	(void)env;
	return report_connections(&live, &l->view, clock_ms());
}

static json_t *
sessions_report(const struct ctl_env *env, const struct ctl_later *l,
    const struct conn_info *conns, size_t n)
{
	(void)conns;
	(void)n;
	return report_sessions(env->sessions, l->policy, &l->view, clock_ms());
}

static json_t *
old_report(const struct ctl_env *env, const struct ctl_later *l, const struct conn_info *conns,
    size_t n)
{
	(void)l;
	return report_old(env->sessions, conns, n, clock_ms());
}

static json_t *
show_stats(const struct ctl_env *env, bool describe)
{
	struct report_gauges now;
	struct stats sum;

	gauges_now(env, &now, &sum);
	return report_stats(&sum, &now, describe);
}

#define COMMANDS \
	"show, explain, capture, trace, ready, drain, undrain, progress, maint, unmaint, kill, " \
	"move, moved, stop, log-level or reload"
#define SHOWN "nodes, clients, sessions, connections, policy, map, stats or refusals"

/* Of what there may be many. True: it is one of these. */
static bool
show_many(const char *what, const json_t *request, struct ctl_later *later, json_t **wrong)
{
	const char *why;

	if (strcmp(what, "clients") == 0 && json_is_true(json_object_get(request, "old")))
		later->report = old_report;
	else if (strcmp(what, "clients") == 0)
		later->report = clients_report;
	else if (strcmp(what, "connections") == 0)
		later->report = connections_report;
	else if (strcmp(what, "sessions") == 0)
		later->report = sessions_report;
	else
		return false;
	later->no_conns = later->report == sessions_report;
	if (view_parse(&later->view, request, &why) == -1) {
		later->report = NULL;
		*wrong = ctl_error(why);
	}
	later->view.filter.clients = later->report == clients_report;
	return true;
}

static json_t *
request_show(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	const struct ctl_status *st = env->status;
	const char *what = json_string_value(json_object_get(request, "what"));

	json_t *wrong = NULL;

	if (what == NULL)
		return ctl_error("show needs one of " SHOWN);
	if (show_many(what, request, later, &wrong))
		return wrong;
	if (strcmp(what, "nodes") == 0)
		return report_nodes(env, clock_ms());
	if (strcmp(what, "policy") == 0)
		return report_policy(st->policy, env->conf, st->policy_since_ms, clock_ms());
	/* It was "state" at first, one slip away from "stats"; both stay. */
	if (strcmp(what, "map") == 0 || strcmp(what, "state") == 0)
		return report_state(env->shared, env->keeper, env->takeover);
	if (strcmp(what, "refusals") == 0)
		return report_refusals(env->refused, NULL, clock_ms());
	if (strcmp(what, "stats") == 0)
		return show_stats(env, json_is_true(json_object_get(request, "describe")));
	return ctl_error("unknown object of show: it is one of " SHOWN);
}

static json_t *
explain_report(const struct ctl_env *env, const struct ctl_later *l, const struct conn_info *conns,
    size_t n)
{
	const uint64_t now = clock_ms();
	json_t *o = report_explain(env, l->policy, &l->who, conns, n, now);
	json_t *refused = report_refusals(env->refused, &l->who, now);

	json_object_update(o, refused);
	json_decref(refused);
	return o;
}

static const char *
listener_named(const struct ctl_later *l)
{
	return l->node[0] == '\0' ? NULL : l->node;
}

/* And whoever is a client from there, or was one last. */
static json_t *
address_report(const struct ctl_env *env, const struct ctl_later *l, const struct conn_info *conns,
    size_t n)
{
	json_t *o = explain_report(env, l, conns, n);
	json_t *policy = report_address(env, l->policy, &l->who.prefix.addr, listener_named(l));

	json_object_update(o, policy);
	json_decref(policy);
	return o;
}

static json_t *
guid_report(const struct ctl_env *env, const struct ctl_later *l, const struct conn_info *conns,
    size_t n)
{
	(void)conns;
	(void)n;
	return report_guid(env, l->policy, &l->who.guid, listener_named(l));
}

static bool
has_listener(const struct ctl_env *env, const char *name)
{
	for (size_t i = 0; i < env->conf->nlisten; i++)
		if (strcmp(env->conf->listen[i].name, name) == 0)
			return true;
	return false;
}

static json_t *
request_explain(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	const char *listener = json_string_value(json_object_get(request, "listener"));
	const char *address = json_string_value(json_object_get(request, "address"));
	const char *guid = json_string_value(json_object_get(request, "guid"));
	struct who *w = &later->who;
	const char *why;
	struct addr a;

	if (listener != NULL && !has_listener(env, listener))
		return ctl_error("there is no listener of that name");
	snprintf(later->node, sizeof(later->node), "%s", listener == NULL ? "" : listener);
	if (address != NULL) {
		if (addr_parse(&a, address) == -1)
			return ctl_error("that is no address");
		*w = (struct who){ .kind = WHO_PREFIX, .prefix = prefix_host(&a) };
		later->report = address_report;
		return NULL;
	}
	if (guid != NULL) {
		if (who_parse(w, guid, &why) == -1 || w->kind != WHO_GUID)
			return ctl_error("that is no GUID");
		later->report = guid_report;
		later->view.filter.nobody = true;
		return NULL;
	}
	if (who_parse(w, json_string_value(json_object_get(request, "who")), &why) == -1)
		return ctl_error(why);
	later->report = explain_report;
	return NULL;
}

/* "good" is false where it is not, by which smbgatectl has its exit status. */
static json_t *
request_ready(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	bool live = json_is_true(json_object_get(request, "live"));
	const char *why = live ? ready_live(env) : ready_takes(env);
	json_t *o = json_object();

	(void)later;
	jset_bool(o, live ? "live" : "ready", why == NULL);
	jset_bool(o, "good", why == NULL);
	jset_text(o, "why", why);
	return o;
}

#define TAP_MS 60000

static json_t *
begin_tap(const json_t *request, enum tap_kind kind, struct ctl_later *later)
{
	const char *who = json_string_value(json_object_get(request, "who")), *why;
	const json_t *ms = json_object_get(request, "for_ms");
	json_int_t for_ms = ms == NULL ? TAP_MS : json_integer_value(ms);
	struct tap_want *w = &later->tap;
	json_t *o;

	w->kind = kind;
	w->heads = json_is_true(json_object_get(request, "heads"));
	if (who_parse(&w->who, who, &why) == -1)
		return ctl_error(why);
	if (for_ms < 1 || for_ms > TAPPING_MAX_MS)
		return ctl_error("it may last a day at most");
	later->for_ms = (uint64_t)for_ms;
	o = json_object();
	jset_text(o, "who", w->who.text);
	jset_int(o, "for_ms", later->for_ms);
	return o;
}

static json_t *
request_capture(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	(void)env;
	return begin_tap(request, TAP_CAPTURE, later);
}

static json_t *
request_trace(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	(void)env;
	return begin_tap(request, TAP_TRACE, later);
}

static json_t *
reloaded_report(const struct ctl_env *env, const struct ctl_later *l, const struct conn_info *conns,
    size_t n)
{
	json_t *o = json_object();

	(void)env;
	(void)conns;
	(void)n;
	jset_bool(o, "reloaded", true);
	jset_int(o, "generation", l->policy->generation);
	return o;
}

/* The answer comes once every worker goes by the new policy: the next client meets it. */
static json_t *
request_reload(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	struct errlist e = { .n = 0 };
	json_t *o = NULL, *list;

	(void)request;
	if (env->reload(env->arg, &e) == 0) {
		later->report = reloaded_report;
		later->order = true;
		later->view.filter.nobody = true;
	} else {
		o = ctl_error("policy.conf has errors; the old policy stays in force");
		list = jset_array(o, "errors");
		for (size_t i = 0; i < e.n; i++)
			jadd_text(list, e.text[i]);
		jset_int(o, "errors_total", e.total);
		jset_int(o, "generation", env->status->policy->generation);
	}
	errlist_fini(&e);
	return o;
}

/* Who may ask: the control socket lets nobody in but these and, to look, control-group. */
enum ctl_right { CTL_OPERATOR, CTL_LOOK };

static const struct {
	const char *name;
	enum ctl_right right;
	enum log_event order;		/* NONE: it changes nothing, or says so itself */
	bool on;			/* also of the process that smbgate has taken over from */
	json_t *(*run)(const struct ctl_env *env, const json_t *request, struct ctl_later *later);
} requests[] = {
	{ "show", CTL_LOOK, LOG_EVENT_NONE, false, request_show },
	{ "explain", CTL_LOOK, LOG_EVENT_NONE, false, request_explain },
	{ "capture", CTL_OPERATOR, LOG_EVENT_NONE, false, request_capture },
	{ "trace", CTL_OPERATOR, LOG_EVENT_NONE, false, request_trace },
	{ "ready", CTL_LOOK, LOG_EVENT_NONE, false, request_ready },
	{ "drain", CTL_OPERATOR, LOG_EVENT_DRAIN, true, operator_drain },
	{ "undrain", CTL_OPERATOR, LOG_EVENT_DRAIN, true, operator_undrain },
	{ "maint", CTL_OPERATOR, LOG_EVENT_DRAIN, true, operator_maint },
	{ "unmaint", CTL_OPERATOR, LOG_EVENT_DRAIN, true, operator_undrain },
	{ "progress", CTL_OPERATOR, LOG_EVENT_NONE, false, operator_progress },
	{ "kill", CTL_OPERATOR, LOG_EVENT_KILL, false, operator_kill },
	{ "move", CTL_OPERATOR, LOG_EVENT_MOVE, false, operator_move },
	{ "moved", CTL_OPERATOR, LOG_EVENT_NONE, false, operator_moved },
	{ "stop", CTL_OPERATOR, LOG_EVENT_STOP, true, operator_stop },
	{ "reload", CTL_OPERATOR, LOG_EVENT_RELOAD, false, request_reload },
	{ "log-level", CTL_OPERATOR, LOG_EVENT_NONE, true, loglevel_request },
};

static bool
is_operator(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static json_t *
request_denied(const char *cmd, uid_t uid)
{
	const struct log_fields f = {
		.event = LOG_EVENT_DENIED, .has_by = true, .by = (unsigned)uid
	};
	char text[128];

	log_about(LOG_LEVEL_WARN, f,
	    "control: user %u may not ask for %s: control-group may look, and no more",
	    (unsigned)uid, cmd);
	snprintf(text, sizeof(text),
	    "%s is for root and smbgate's own user; control-group may look, and no more", cmd);
	return ctl_error(text);
}

/* Before it is carried out: who stopped smbgate is known though it is gone. */
static void
log_order(enum log_event event, const char *cmd, uid_t uid, const json_t *request)
{
	const char *node = json_string_value(json_object_get(request, "node"));
	const char *who = json_string_value(json_object_get(request, "who"));
	const struct log_fields f = {
		.event = event, .node = node, .has_by = true, .by = (unsigned)uid
	};

	if (event != LOG_EVENT_NONE)
		log_about(LOG_LEVEL_INFO, f, "control: user %u orders %s%s%s%s%s", f.by, cmd,
		    who == NULL ? "" : " ", who == NULL ? "" : who, node == NULL ? "" : " ",
		    node == NULL ? "" : node);
}

json_t *
ctl_request(const struct ctl_env *env, uid_t uid, const char *line, size_t len,
    struct ctl_later *later)
{
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL), *answer = NULL;
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	size_t i;

	*later = (struct ctl_later){ .by = uid };
	for (i = 0; cmd != NULL && i < sizeof(requests) / sizeof(requests[0]); i++)
		if (strcmp(requests[i].name, cmd) == 0)
			break;
	if (!json_is_object(request))
		answer = ctl_error("a request is one line with one JSON object");
	else if (cmd == NULL || i == sizeof(requests) / sizeof(requests[0]))
		answer = ctl_error("unknown command: it is one of " COMMANDS);
	else if (requests[i].right == CTL_OPERATOR && !is_operator(uid))
		answer = request_denied(cmd, uid);
	else {
		log_order(requests[i].order, cmd, uid, request);
		answer = requests[i].run(env, request, later);
		if (requests[i].on && json_object_get(answer, "error") == NULL)
			(void)takeover_order(env->takeover, line, len);
	}
	json_decref(request);
	return answer;
}
