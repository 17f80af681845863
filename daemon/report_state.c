/* report_state.c: what an operator is shown of the map of claims, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "base/clock.h"
#include "state/facts.h"
#include "state/keeper.h"
#include "state/link.h"
#include "state/shared.h"

static void
set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void
set_text(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key, text[0] == '\0' ? json_null() : report_text(text));
}

static void
servers(json_t *o, const struct link_conf *conf)
{
	json_t *list = json_array();
	char text[ADDR_STRLEN];

	json_object_set_new(o, "servers", list);
	for (size_t i = 0; i < conf->nservers; i++)
		json_array_append_new(list, report_text(conf->servers[i].path[0] != '\0'
		    ? conf->servers[i].path : addrport_str(&conf->servers[i].address, text)));
	set_text(o, "sentinel", conf->sentinel != NULL ? conf->sentinel : "");
	set_int(o, "timeout_ms", conf->timeout_ms);
}

bool
report_degraded(struct shared *m)
{
	return m != NULL && shared_stats(m)->links_ready < shared_stats(m)->links;
}

static void
counters(json_t *o, struct shared *m)
{
	struct shared_stats *st = shared_stats(m);
	uint64_t waits = st->waits;
	json_t *errors = json_object();

	set_int(o, "workers", st->links);
	set_int(o, "workers_ready", st->links_ready);
	/* With one that is not ready, new connections are placed without Redis there. */
	json_object_set_new(o, "degraded", json_boolean(report_degraded(m)));
	set_int(o, "claims", shared_claims(m));
	set_int(o, "exceptions", shared_exceptions(m));
	set_int(o, "facts", facts_count(shared_facts(m)));
	set_int(o, "asked", st->asked);
	set_int(o, "known", st->known);
	set_int(o, "blind", st->blind);
	set_int(o, "waits", waits);
	set_int(o, "wait_us_max", st->wait_us_max);
	set_int(o, "wait_us_mean", waits == 0 ? 0 : st->wait_us_sum / waits);
	set_int(o, "lost", st->lost);
	set_int(o, "commands", st->commands);
	json_object_set_new(o, "errors", errors);
	for (int i = 0; i < FAULT_COUNT; i++)
		set_int(errors, fault_name((enum fault)i), shared_faults(m)->count[i]);
}

json_t *
report_state(struct shared *m, struct keeper *k)
{
	json_t *root = json_object(), *o = json_object();
	uint64_t now = clock_ms();
	struct keeper_info info;

	json_object_set_new(root, "state", o);
	set_text(o, "backend", m == NULL ? "local" : "redis");
	if (m == NULL)
		return root;
	keeper_describe(k, &info);
	servers(o, shared_link(m));
	json_object_set_new(o, "connected", json_boolean(info.link.ready));
	json_object_set_new(o, "listening", json_boolean(info.news.ready));
	set_text(o, "server", info.link.server);
	set_text(o, "role", info.link.role);
	set_int(o, "since_s", (now - info.link.since_ms) / 1000);
	set_int(o, "connects", info.link.connects);
	set_int(o, "epoch", info.epoch);
	set_int(o, "latency_us", info.latency_us);
	set_int(o, "said_again", info.asserted);
	counters(o, m);
	return root;
}
