/* report_explain.c: why clients have one channel or several, as JSON */
#include "config.h"

#include "daemon/report_explain.h"

#include "auth/keyhash.h"
#include "base/addr.h"
#include "base/guid.h"
#include "daemon/ctl_env.h"
#include "daemon/explain.h"
#include "daemon/explain_cases.h"
#include "daemon/json.h"
#include "daemon/report.h"
#include "inspect/query_seen.h"
#include "nodes/node.h"
#include "nodes/route.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "smb/const.h"
#include "stats/refused.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct report_case {
	const struct ctl_env *env;
	struct policy *policy;
	const struct explain_search *search;
	const struct explain_case *is;
	struct keyhash *hash;
	uint64_t now_ms;
	const struct refusal *refused[REFUSED_MAX];
	size_t nrefused;
};

static void
set_age(json_t *o, const char *key, uint64_t at_ms, uint64_t now_ms)
{
	if (at_ms == 0)
		json_object_set_new(o, key, json_null());
	else
		jset_age(o, key, at_ms, now_ms);
}

static bool
is_user(const struct case_session *s)
{
	return !s->info.guest && !s->info.anonymous;
}

static uint64_t
asked_ms(const struct case_session *s)
{
	return s->info.asked == NULL ? 0 : s->info.asked->at_ms;
}

/* The one that a client is judged by: with several channels, a user's, asked last, the newest. */
static const struct case_session *
better(const struct case_session *a, const struct case_session *b)
{
	if (a == NULL || (a->n > 1) != (b->n > 1))
		return a == NULL || b->n > 1 ? b : a;
	if (is_user(a) != is_user(b))
		return is_user(a) ? a : b;
	if (asked_ms(a) != asked_ms(b))
		return asked_ms(a) > asked_ms(b) ? a : b;
	return a->info.since_ms >= b->info.since_ms ? a : b;
}

static const struct case_session *
judged_session(const struct explain_case *k)
{
	const struct case_session *best = NULL;

	for (const struct case_session *s = k->sessions; s != NULL; s = s->next)
		best = better(best, s);
	return best;
}

static const char *
listener_of(const struct report_case *c, const struct case_session *s)
{
	const struct explain_case *k = c->is;

	for (size_t i = 0; s != NULL && s->n > 0 && i < k->n; i++)
		if (k->conns[i].conn->id == s->channels[0].ends.conn_id)
			return k->conns[i].conn->listener;
	return k->n > 0 ? k->conns[0].conn->listener : "";
}

/* Of one of its connections, at least. */
static bool
is_unreadable(const struct explain_case *k)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->conns[i].conn->open_files < 0)
			return true;
	return false;
}

/* s NULL: nobody has logged on. */
static struct explain_facts
facts_of(const struct report_case *c, const struct case_session *s)
{
	const struct explain_case *k = c->is;
	const struct conn_info *newest = k->n > 0 ? k->conns[0].conn : NULL;
	struct guid g = { .b = { 1 } };

	if (k->key.b[0] == STATE_KEY_GUID)
		memcpy(g.b, k->key.b + 1, sizeof(g.b));
	return (struct explain_facts){
		.policy = c->policy,
		.policy_name = c->env->conf->policy,
		.keytab = c->env->conf->keytab != NULL,
		.session = s == NULL ? NULL : &s->info,
		.channels = s == NULL ? NULL : s->channels,
		.nchannels = s == NULL ? 0 : s->n,
		.listener = listener_of(c, s),
		.smb1 = s == NULL && newest != NULL && newest->smb1,
		.zero_guid = guid_is_zero(&g),
		.unreadable = is_unreadable(k),
		.dialect = newest == NULL ? 0 : newest->dialect,
		.connections = k->n,
		.linger_s = (k->left_ms + 999) / 1000,
		.refused = c->refused,
		.nrefused = c->nrefused,
	};
}

/* Parts of a client's row. */

static void
add_addresses(json_t *o, const struct explain_case *k)
{
	json_t *list = jset_array(o, "addresses");
	const struct addr *last = NULL;

	for (size_t i = 0; i < k->n; i++) {
		const struct addr *a = &k->conns[i].conn->client.addr;
		bool again = last != NULL && addr_equal(last, a);

		for (size_t j = 0; j < i && !again; j++)
			again = addr_equal(&k->conns[j].conn->client.addr, a);
		if (!again)
			jadd_addr(list, a);
		last = a;
	}
}

/* Where it is, or will be, and why there. */
static void
add_placed(const struct report_case *c, json_t *o)
{
	const struct explain_case *k = c->is;
	struct route_env env = {
		.nodes = c->env->nodes,
		.state = c->env->claims,
		.hash = c->hash,
		.stats = c->env->stats,
		.policy = c->policy,
	};
	const char *by = NULL, *node = k->claimed ? k->node : NULL;
	json_t *p;
	struct node *n = k->key.b[0] == STATE_KEY_GUID && c->hash != NULL
	    ? route_hash(&env, &k->key) : NULL;

	for (size_t i = 0; i < k->n && by == NULL; i++) {
		by = route_by_str((enum route_by)k->conns[i].conn->placed);
		if (k->conns[i].conn->node[0] != '\0')
			node = k->conns[i].conn->node;
	}
	if (by == NULL && k->n == 0 && k->claimed)
		by = route_by_str(ROUTE_CLAIM);
	jset_text(o, "node", node);
	p = jset_object(o, "placed");
	jset_text(p, "by", by);
	jset_text(p, "hash_node", n == NULL ? NULL : n->name);
	jset_text(p, "claim_node", k->claimed ? k->node : NULL);
	jset_int(p, "linger_s", (k->left_ms + 999) / 1000);
	node_unref(&n);
}

static void
add_reasons(const struct report_case *c, json_t *o, const struct explain_facts *f)
{
	struct explain_reason r[EXPLAIN_CODES];
	const size_t n = explain(f, r);
	const struct explain_reason *v = explain_verdict(r, n);
	json_t *verdict = jset_object(o, "verdict"), *list = jset_array(o, "reasons");
	char text[512];

	snprintf(text, sizeof(text), "multichannel is %s: %s", v->code == EXPLAIN_on ? "on" : "off",
	    v->text);
	jset_text(verdict, "code", explain_code_str(v->code));
	jset_text(verdict, "text", text);
	for (size_t i = 0; i < n; i++) {
		json_t *row = jadd_object(list);

		jset_text(row, "code", explain_code_str(r[i].code));
		jset_bool(row, "blocks", r[i].blocks);
		jset_text(row, "text", r[i].text);
		jset_text(row, "fix", r[i].fix);
		jset_name(row, "where", r[i].where);
		set_age(row, "age_s", r[i].at_ms, c->now_ms);
		if (r[i].code == EXPLAIN_opaque)
			jset_text(row, "cause", r[i].cause);
	}
}

static void
add_list(json_t *o, const char *key, const struct ifinfo *list, size_t n)
{
	json_t *a = jset_array(o, key);

	for (size_t i = 0; i < n; i++)
		jadd_addr(a, &list[i].addr);
}

static void
add_query(const struct report_case *c, json_t *o, const struct explain_facts *f)
{
	const struct query_seen *q = f->session == NULL ? NULL : f->session->asked;
	json_t *list;
	uint64_t count = 0;

	for (const struct case_session *s = c->is->sessions; s != NULL; s = s->next)
		count += s->info.asked == NULL ? 0 : s->info.asked->count;
	o = jset_object(o, "query");
	jset_int(o, "count", count);
	set_age(o, "age_s", q == NULL ? 0 : q->at_ms, c->now_ms);
	add_list(o, "node_list", q == NULL ? NULL : query_seen_node(q), q == NULL ? 0 : q->nnode);
	add_list(o, "told", q == NULL ? NULL : q->list, q == NULL ? 0 : q->ntold);
	list = jset_array(o, "removed");
	for (size_t i = 0; q != NULL && i < q->nremoved; i++) {
		const struct addr *a = &query_seen_removed(q)[i].addr;
		json_t *row = jadd_object(list);
		char where[EXPLAIN_WHERE];

		explain_where_removed(f, a, where);
		jset_addr(row, "address", a);
		jset_name(row, "where", where);
	}
}

static void
add_client(json_t *list, const struct report_case *c)
{
	const struct explain_facts f = facts_of(c, judged_session(c->is));
	json_t *o = jadd_object(list), *refused;
	char text[ADDR_STRLEN];
	struct addr a;
	struct guid g;

	memcpy(a.b, c->is->key.b + 1, sizeof(a.b));
	memcpy(g.b, c->is->key.b + 1, sizeof(g.b));
	jset_text(o, "client", c->is->key.b[0] == STATE_KEY_GUID ? guid_str(&g, text)
	                                                         : addr_str(&a, text));
	add_addresses(o, c->is);
	jset_text(o, "last_address",
	    c->is->known ? addr_str(&c->is->last.addr, text) : NULL);
	add_placed(c, o);
	add_reasons(c, o, &f);
	add_query(c, o, &f);
	refused = jset_array(o, "refusals");
	for (size_t i = 0; i < c->nrefused; i++)
		report_refusal(jadd_object(refused), c->refused[i], c->now_ms);
}

static void
add_sessions(json_t *list, const struct report_case *c)
{
	for (const struct case_session *s = c->is->sessions; s != NULL; s = s->next) {
		const struct explain_facts f = facts_of(c, s);
		struct explain_reason r[EXPLAIN_CODES];
		json_t *o, *findings;
		size_t n;

		if (!explain_means_session(c->search->who, &s->info, s->channels, s->n))
			continue;
		o = report_session(list, c->policy, &s->info, s->channels, s->n,
		    c->now_ms);
		findings = jset_array(o, "findings");
		n = explain(&f, r);
		for (size_t i = 0; i < n; i++)
			jadd_text(findings, r[i].text);
	}
}

json_t *
report_explain(const struct ctl_env *env, struct policy *p, const struct who *who,
    const struct conn_info *conns, size_t n, uint64_t now_ms)
{
	struct refusal *refused = calloc(REFUSED_MAX, sizeof(*refused));
	struct explain_search s = { .who = who, .conns = conns, .nconns = n,
		.sessions = env->sessions, 
		.claims = env->claims, .lasts = env->lasts, .refused = refused };
	struct report_case c = { .env = env, .policy = p, .search = &s, .now_ms = now_ms };
	struct explain_cases all = { .n = 0 };
	json_t *root = json_object();
	json_t *sessions = jset_array(root, "sessions"), *clients = jset_array(root, "clients");
	uint64_t left_out = 0;

	if (refused != NULL && env->refused != NULL)
		s.nrefused = refused_list(env->refused, now_ms, refused, &left_out);
	c.hash = keyhash_new(env->secret);
	if (refused == NULL || c.hash == NULL || explain_cases_find(&all, &s) == -1) {
		json_decref(root);
		root = NULL;
	}
	for (size_t i = 0; root != NULL && i < all.n; i++) {
		c.is = &all.all[i];
		c.nrefused = 0;
		if (!c.is->meant)
			continue;
		for (size_t k = 0; k < s.nrefused; k++)
			if (explain_case_refused(c.is, &refused[k]))
				c.refused[c.nrefused++] = &refused[k];
		add_client(clients, &c);
		add_sessions(sessions, &c);
	}
	explain_cases_fini(&all);
	keyhash_free(&c.hash);
	free(refused);
	return root;
}
