/* ctl_operator.c: what an operator has done to nodes and clients: drain, maint, kill, move, stop */
#include "config.h"

#include "daemon/ctl_operator.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/census.h"
#include "daemon/clients.h"
#include "daemon/ctl_env.h"
#include "daemon/ctl_later.h"
#include "daemon/drainer.h"
#include "daemon/json.h"
#include "daemon/letgo.h"
#include "daemon/mover.h"
#include "daemon/stand.h"
#include "daemon/takeover.h"
#include "nodes/node.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/parting.h"
#include "state/state.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So long a client that was moved may take to come back, whatever pin-linger is. */
#define MOVED_LINGER_MS 30000

#define WHY_TEXT 128

/* A line for a terminal, though it has words of the request. */
static json_t *__attribute__((format(printf, 1, 2)))
refusal(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	return ctl_error(text);
}

/* A reference, or NULL and *error. */
static struct node *
node_named(const struct ctl_env *env, const char *name, json_t **error)
{
	struct node *n = name == NULL ? NULL : nodes_find_name(env->nodes, name);

	if (name == NULL)
		*error = ctl_error("the request names no node");
	else if (n == NULL)
		*error = refusal("there is no node \"%.63s\"", name);
	return n;
}

/*
 * A time of the request; *ms stays what it is where there is none. NULL, or what is wrong: none for
 * one that was meant would end clients at once, or never.
 */
static json_t *
take_time(const json_t *request, const char *key, uint64_t *ms)
{
	const json_t *v = json_object_get(request, key);

	if (v == NULL || json_is_null(v))
		return NULL;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return refusal("%s is a whole number of milliseconds", key);
	*ms = (uint64_t)json_integer_value(v);
	if (*ms > STAND_TIME_MAX_MS)
		*ms = STAND_TIME_MAX_MS;
	return NULL;
}

/* The terms on which clients go. NULL, or what is wrong. */
static json_t *
take_terms(const json_t *request, const char *deadline, struct stand *s)
{
	json_t *error = take_time(request, "quiet_ms", &s->quiet_ms);

	return error != NULL ? error : take_time(request, deadline, &s->deadline_ms);
}

static bool
is_forced(const json_t *request)
{
	return json_is_true(json_object_get(request, "force"));
}

static json_t *
set_stand(const struct ctl_env *env, const json_t *request, enum stand_kind kind)
{
	struct stand s = { .kind = kind, .quiet_ms = STAND_QUIET_MS };
	json_t *o = take_terms(request, "deadline_ms", &s);
	const char *name = json_string_value(json_object_get(request, "node"));
	struct node *n = o != NULL ? NULL : node_named(env, name, &o);

	if (n == NULL)
		return o;
	if (ctl_too_late(env)) {
		node_unref(&n);
		return ctl_error(CTL_TAKING_OVER);
	}
	if (kind != STAND_ACTIVE && !is_forced(request) && !n->drain &&
	    !nodes_take_without(env->nodes, n, conf_intercepts(env->conf))) {
		o = refusal("no other node would take clients of node \"%s\"; --force drains it "
		            "all the same", n->name);
		node_unref(&n);
		return o;
	}
	env->drain(env->arg, n, &s);
	o = json_object();
	jset_text(o, "node", n->name);
	jset_bool(o, "draining", n->drain);
	jset_text(o, "state", node_state(n));
	jset_int(o, "connections", n->connections);
	node_unref(&n);
	return o;
}

json_t *
operator_drain(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	(void)later;
	return set_stand(env, request, STAND_DRAIN);
}

json_t *
operator_undrain(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	(void)later;
	return set_stand(env, request, STAND_ACTIVE);
}

json_t *
operator_maint(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	(void)later;
	return set_stand(env, request, STAND_MAINT);
}

/* Connections that the process before this one still has, to that node; NULL: to any. */
static uint64_t
before(const struct ctl_env *env, const char *name)
{
	struct node *n = name == NULL ? NULL : nodes_find_name(env->nodes, name);
	struct takeover_rest rest;
	uint64_t count = 0;

	if (n != NULL)
		count = n->before;
	else if (name == NULL && takeover_rest(env->takeover, &rest))
		count = rest.connections;
	node_unref(&n);
	return count;
}

static json_t *
progress_report(const struct ctl_env *env, const struct ctl_later *l,
    const struct census_found *found)
{
	const char *name = l->node[0] == '\0' ? NULL : l->node;
	json_t *o = json_object(), *error = NULL;
	struct node *node;

	if (drainer_progress(env->drainer, name, &found->clients, clock_ms(), o)) {
		jset_int(o, "before", before(env, name));
		return o;
	}
	json_decref(o);
	if (name == NULL)
		return ctl_error("smbgate does not stop, or lets nobody go first");
	node = node_named(env, name, &error);
	if (node != NULL)
		error = refusal("node \"%s\" is not drained, or no longer", node->name);
	node_unref(&node);
	return error;
}

json_t *
operator_progress(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	const char *name = json_string_value(json_object_get(request, "node"));

	(void)env;
	/* Without a name: of smbgate itself. */
	snprintf(later->node, sizeof(later->node), "%s", name == NULL ? "" : name);
	later->meet = progress_report;
	return NULL;
}

/* Clients. */

/* Who is found now may be on the way to another process in a moment, and others are by now. */
static json_t *
on_their_way(const struct ctl_env *env)
{
	if (env->giving == NULL || !env->giving(env->arg))
		return NULL;
	return ctl_error(CTL_TAKING_OVER);
}

/* NULL: these may be ended. */
static json_t *
why_not(const struct census_found *found, const struct ctl_later *l)
{
	const struct clients *c = &found->clients;
	const size_t meant = found->nmeant;
	int64_t files = 0;
	bool unseen = false;

	for (size_t i = 0; i < c->n; i++) {
		if (!c->all[i].meant)
			continue;
		unseen |= c->all[i].open_files < 0;
		files += c->all[i].open_files > 0 ? c->all[i].open_files : 0;
	}
	if (meant == 0)
		return refusal("no client with a connection here is \"%.100s\"",
		    l->who.text);
	if (l->force)
		return NULL;
	if (meant > 1)
		return refusal("\"%.100s\" are %zu clients; --force means all of them",
		    l->who.text, meant);
	if (files > 0)
		return refusal("the client has %lld open files; --force ends it all the same",
		    (long long)files);
	if (unseen)
		return ctl_error("the client may have open files, which cannot be seen; --force "
		                 "ends it all the same");
	return NULL;
}

static void
kill_meant(const struct ctl_env *env, const struct clients *c, uid_t by, json_t *list)
{
	const struct log_fields f = { .event = LOG_EVENT_KILL, .has_by = true, .by = (unsigned)by };
	struct parting p = { .n = 0 };
	char text[CLIENT_TEXT];

	for (size_t i = 0; i < c->n; i++) {
		if (!c->all[i].meant)
			continue;
		log_about(LOG_LEVEL_INFO, f, "killed by the operator: %s",
		    client_text(&c->all[i], text));
		client_json(&c->all[i], jadd_object(list));
		p.who[p.n++] = c->all[i].ref;
		if (p.n < PARTING_MAX)
			continue;
		letgo_end(env->letgo, &p, NULL, NULL);
		p.n = 0;
	}
	if (p.n > 0)
		letgo_end(env->letgo, &p, NULL, NULL);
}

/* Whom it is told as well, "before": the connections there are not seen here. */
static void
kill_before(const struct ctl_env *env, const struct ctl_later *l, const struct takeover_rest *rest,
    json_t *b)
{
	json_t *request = json_pack("{s:s, s:s, s:b}", "cmd", "kill", "who", l->who.text, "force",
	    l->force);
	char *text = json_dumps(request, JSON_COMPACT);

	jset_int(b, "pid", rest->pid);
	jset_int(b, "connections", rest->connections);
	jset_bool(b, "told", text != NULL && takeover_order(env->takeover, text, strlen(text)));
	free(text);
	json_decref(request);
}

/* What is refused here is no order there. */
static json_t *
kill_report(const struct ctl_env *env, const struct ctl_later *l, const struct census_found *found)
{
	struct takeover_rest rest = { .connections = 0 };
	const bool there = takeover_rest(env->takeover, &rest);
	json_t *o = on_their_way(env);

	if (o != NULL)
		return o;
	o = why_not(found, l);
	/* Whom nobody knows here may be there. */
	if (o != NULL && (found->nmeant > 0 || rest.connections == 0))
		return o;
	json_decref(o);
	o = json_object();
	kill_meant(env, &found->clients, l->by, jset_array(o, "killed"));
	jset_bool(o, "others_told", letgo_reaches(env->letgo));
	if (there)
		kill_before(env, l, &rest, jset_object(o, "before"));
	return o;
}

/* Those of kill and move. NULL, or what is wrong. */
static json_t *
take_who(const json_t *request, struct ctl_later *later)
{
	const char *why;

	if (who_parse(&later->who, json_string_value(json_object_get(request, "who")), &why) == -1)
		return ctl_error(why);
	later->force = is_forced(request);
	return NULL;
}

json_t *
operator_kill(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	json_t *error = take_who(request, later);

	(void)env;
	if (error == NULL)
		later->meet = kill_report;
	return error;
}

/* NULL: it can be moved to that node. Else the reason, a text or dst. */
static const char *
why_no_move(const struct client *c, const struct node *to, char dst[WHY_TEXT])
{
	if (c->ref.conn_id != 0)
		return "the client has no ClientGuid (SMB1 or SMB 2.0.2): no claim says where it "
		       "is to be";
	if (c->conns[0]->dialled[0] != '\0')
		return "the client dials its node by itself";
	if (!node_in_cluster(to, c->conns[0]->cluster))
		snprintf(dst, WHY_TEXT, "node \"%s\" is of another cluster than the client",
		    to->name);
	else if (c->conns[0]->node_is == to)
		snprintf(dst, WHY_TEXT, "it is on node \"%s\" already", to->name);
	else
		return NULL;
	return dst;
}

/* Where it has connections from before, they end as well. */
static void
end_before(const struct ctl_env *env, const struct client *c)
{
	char guid[GUID_STRLEN], request[128];
	const int n = snprintf(request, sizeof(request),
	    "{\"cmd\":\"kill\",\"who\":\"%s\",\"force\":true}",
	    guid_str(&c->conns[0]->client_guid, guid));

	(void)takeover_order(env->takeover, request, (size_t)n);
}

/* One of them, with a number; or without, and how it stands. */
static const char *
move_one(const struct ctl_env *env, const struct client *c, struct node *to, json_t *list,
    char dst[WHY_TEXT])
{
	const unsigned linger = env->status->policy->pin_linger;
	const char *why = why_no_move(c, to, dst);
	uint64_t number = 0;
	json_t *v = jadd_object(list);

	if (why == NULL)
		number = mover_start(env->mover, &c->ref, to,
		    linger > MOVED_LINGER_MS ? linger : MOVED_LINGER_MS);
	if (why == NULL && number == 0)
		why = "as many clients as can be are on the move";
	client_json(c, v);
	if (why == NULL) {
		end_before(env, c);
		jset_int(v, "number", number);
	} else {
		jset_bool(v, "moved", false);
		jset_text(v, "how", why);
	}
	return why;
}

static json_t *
move_meant(const struct ctl_env *env, const struct census_found *found, struct node *to)
{
	const struct clients *c = &found->clients;
	json_t *o = json_object(), *list = jset_array(o, "moves");
	const char *why = NULL;
	char dst[WHY_TEXT];

	for (size_t i = 0; i < c->n; i++)
		if (c->all[i].meant)
			why = move_one(env, &c->all[i], to, list, dst);
	/* Of several each has its own word. */
	if (found->nmeant == 1 && why != NULL) {
		json_decref(o);
		return ctl_error(why);
	}
	return o;
}

static json_t *
move_report(const struct ctl_env *env, const struct ctl_later *l, const struct census_found *found)
{
	json_t *o = on_their_way(env);
	struct node *to = o != NULL ? NULL : node_named(env, l->node, &o);

	if (to == NULL)
		return o;
	o = why_not(found, l);
	if (o == NULL && !node_takes_new(to))
		o = refusal("node \"%s\" takes no new clients: it is %s", to->name,
		    node_state(to));
	if (o == NULL && !letgo_reaches(env->letgo))
		o = ctl_error("other proxies cannot be asked: Redis is out of reach, or there is "
		              "no cluster-secret");
	if (o == NULL)
		o = move_meant(env, found, to);
	node_unref(&to);
	return o;
}

json_t *
operator_move(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	const char *name = json_string_value(json_object_get(request, "node"));
	json_t *error = take_who(request, later);

	(void)env;
	if (error != NULL)
		return error;
	if (name == NULL)
		return ctl_error("the request names no node");
	snprintf(later->node, sizeof(later->node), "%s", name);
	later->meet = move_report;
	return NULL;
}

json_t *
operator_moved(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	const json_int_t number = json_integer_value(json_object_get(request, "number"));
	bool over = false, moved = false;
	const char *how = number <= 0 ? NULL
	                              : mover_how(env->mover, (uint64_t)number, &over, &moved);
	json_t *o;

	(void)later;
	if (how == NULL)
		return ctl_error("there is no move of that number, or no longer");
	o = json_object();
	jset_bool(o, "over", over);
	jset_bool(o, "moved", moved);
	jset_text(o, "how", how);
	return o;
}

json_t *
operator_stop(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	struct stand s = { .kind = STAND_DRAIN, .quiet_ms = STAND_QUIET_MS };
	json_t *o = take_terms(request, "drain_ms", &s);

	if (o != NULL)
		return o;
	if (!env->leave(env->arg, &s))
		return ctl_error(CTL_ELSEWHERE);
	later->to_the_end = json_is_true(json_object_get(request, "wait"));
	o = json_object();
	jset_bool(o, "stopping", true);
	jset_int(o, "drain_s", s.deadline_ms / 1000);
	return o;
}
