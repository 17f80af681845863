/* http_answer.c: what is answered to each path over HTTP */
#include "config.h"

#include "daemon/http_answer.h"

#include "base/clock.h"
#include "daemon/ctl_env.h"
#include "daemon/facts.h"
#include "daemon/gauges.h"
#include "daemon/json.h"
#include "daemon/metrics.h"
#include "daemon/page.h"
#include "daemon/ready.h"
#include "daemon/report.h"
#include "policy/policy.h"
#include "proxy/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NOTHING "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static struct http_answer
answer(int status, const char *type)
{
	struct http_answer a = { .status = status, .type = type };

	strcpy(a.csp, NOTHING);
	return a;
}

struct http_answer
http_say(int status, const char *text)
{
	struct http_answer a = answer(status, "text/plain; charset=utf-8");
	int n = asprintf(&a.body, "%s\n", text);

	a.len = n < 0 ? 0 : (size_t)n;
	if (n < 0)
		a.body = NULL;
	return a;
}

static struct http_answer
say_whether(const char *why_not, const char *good)
{
	return why_not == NULL ? http_say(200, good) : http_say(503, why_not);
}

static struct http_answer
healthz(const struct http_view *v)
{
	return say_whether(ready_live(v->env), "ok");
}

static struct http_answer
readyz(const struct http_view *v)
{
	return say_whether(ready_takes(v->env), "ready");
}

/* Ends a text that was printed; NULL where memory ran out. */
static void
finish(struct http_answer *a, FILE *out)
{
	if (out != NULL && fclose(out) == 0)
		return;
	free(a->body);
	a->body = NULL;
	a->len = 0;
}

static struct http_answer
metrics(const struct http_view *v)
{
	struct http_answer a = answer(200, METRICS_TYPE);
	struct facts *f = facts_now(v->env, v->process);
	FILE *out = f == NULL ? NULL : open_memstream(&a.body, &a.len);

	if (out != NULL)
		metrics_print(f, out);
	finish(&a, out);
	free(f);
	return a;
}

/* The page has a style of its own: a number that nobody can guess lets it in, and nothing else. */
static struct http_answer
page(const struct http_view *v)
{
	struct http_answer a = answer(200, "text/html; charset=utf-8");
	struct facts *f = facts_now(v->env, v->process);
	uint64_t bytes[2] = { 0, 0 };
	char nonce[PAGE_NONCE];
	FILE *out;

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
		free(f);
		return a;
	}
	snprintf(nonce, sizeof(nonce), "%016llx%016llx", (unsigned long long)bytes[0],
	    (unsigned long long)bytes[1]);
	snprintf(a.csp, sizeof(a.csp), "%s; style-src 'nonce-%s'", NOTHING, nonce);
	out = f == NULL ? NULL : open_memstream(&a.body, &a.len);
	if (out != NULL)
		page_print(f, v->history, nonce, out);
	finish(&a, out);
	free(f);
	return a;
}

/* What is under that key of a report; the rest of it goes. */
static void
adopt(json_t *o, json_t *report, const char *key)
{
	json_object_set(o, key, json_object_get(report, key));
	json_decref(report);
}

static void
status_policy(json_t *o, const struct ctl_status *st)
{
	json_t *p = jset_object(o, "policy");

	jset_int(p, "generation", st->policy->generation);
	jset_age(p, "since_s", st->policy_since_ms, clock_ms());
	jset_bool(p, "last_reload_ok", st->last_reload_ok);
}

static void
status_newest(json_t *o, const struct facts *f)
{
	json_t *list = jset_array(o, "newest_sessions");

	for (size_t i = 0; i < f->nnewest; i++) {
		const struct session_newest *s = &f->newest[i];
		json_t *x = jadd_object(list);

		jset_name(x, "principal", s->principal);
		jset_addrport(x, "client_address", &s->client);
		jset_name(x, "node", f->newest_node[i]);
		jset_text(x, "protection", session_protection_str(s->protection));
		jset_int(x, "channels", s->channels);
		jset_int(x, "age_s", f->newest_age_s[i]);
	}
}

static struct http_answer
status(const struct http_view *v)
{
	struct http_answer a = answer(200, "application/json");
	const struct ctl_env *env = v->env;
	struct facts *f = facts_now(env, v->process);
	json_t *o = json_object();
	struct report_gauges now;
	struct stats sum;

	gauges_now(env, &now, &sum);
	adopt(o, report_nodes(env, clock_ms()), "nodes");
	adopt(o, report_stats(&sum, &now, false), "stats");
	adopt(o, report_state(env->shared, env->keeper, env->takeover), "state");
	status_policy(o, env->status);
	jset_text(o, "version", PACKAGE_VERSION);
	jset_int(o, "uptime_s", now.uptime_s);
	if (f != NULL && f->details)
		status_newest(o, f);
	a.body = f == NULL || o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
	a.len = a.body == NULL ? 0 : strlen(a.body);
	json_decref(o);
	free(f);
	return a;
}

static const struct {
	const char *path;
	bool light;
	struct http_answer (*make)(const struct http_view *v);
} paths[] = {
	{ "/", false, page },
	{ "/healthz", true, healthz },
	{ "/readyz", true, readyz },
	{ "/status.json", false, status },
	{ "/metrics", false, metrics },
};

#define NPATHS (sizeof(paths) / sizeof(paths[0]))

bool
http_path_is_light(const char *path)
{
	for (size_t i = 0; i < NPATHS; i++)
		if (strcmp(paths[i].path, path) == 0)
			return paths[i].light;
	return true;
}

struct http_answer
http_answer(const struct http_view *v, const char *path)
{
	for (size_t i = 0; i < NPATHS; i++)
		if (strcmp(paths[i].path, path) == 0)
			return paths[i].make(v);
	return http_say(404, "there is /, /healthz, /readyz, /status.json and /metrics");
}

const char *
http_status_str(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	}
	return "Internal Server Error";
}
