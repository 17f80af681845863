/* report_state.c: what an operator is shown of the map of claims, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "base/clock.h"
#include "daemon/json.h"
#include "daemon/takeover.h"
#include "state/keeper.h"
#include "state/link.h"
#include "state/shared.h"

static void
state_servers(json_t *o, const struct link_conf *conf)
{
	json_t *list = jset_array(o, "servers");
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < conf->nservers; i++)
		jadd_text(list, conf->servers[i].path[0] != '\0' ? conf->servers[i].path
		        : addrport_str(&conf->servers[i].address, text));
	jset_name(o, "sentinel", conf->sentinel);
	jset_bool(o, "tls", conf->tls != NULL);
	jset_int(o, "timeout_ms", conf->timeout_ms);
}

bool
report_degraded(struct shared *m)
{
	return m != NULL && !shared_stats(m)->online;
}

static void
state_counters(json_t *o, struct shared *m)
{
	struct shared_stats *st = shared_stats(m);
	uint64_t waits = st->waits;
	json_t *errors;

	/* New connections are placed without Redis, or not at all. */
	jset_bool(o, "degraded", report_degraded(m));
	jset_bool(o, "refusing", st->refusing);
	jset_int(o, "claims", shared_claims(m));
	jset_int(o, "exceptions", shared_exceptions(m));
	jset_int(o, "facts", shared_facts(m));
	jset_int(o, "asked", st->asked);
	jset_int(o, "known", st->known);
	jset_int(o, "blind", st->blind);
	jset_int(o, "refused", st->refused);
	jset_int(o, "waits", waits);
	jset_int(o, "wait_us_max", st->wait_us_max);
	jset_int(o, "wait_us_mean", waits == 0 ? 0 : st->wait_us_sum / waits);
	jset_int(o, "lost", st->lost);
	jset_int(o, "commands", st->commands);
	errors = jset_object(o, "errors");
	for (int i = 0; i < FAULT_COUNT; i++)
		jset_int(errors, fault_name((enum fault)i), shared_faults(m)->count[i]);
}

static void
state_peers(json_t *o, const struct keeper_info *info)
{
	json_t *list = jset_array(o, "peers");

	for (size_t i = 0; i < info->npeers; i++) {
		const struct peer *p = &info->peers[i];
		json_t *x = jadd_object(list);

		jset_text(x, "name", p->name);
		jset_text(x, "version", p->version);
		jset_bool(x, "same_secret", p->same_secret);
		jset_bool(x, "same_nodes", p->same_nodes);
		jset_int(x, "age_ms", p->age_ms);
	}
}

/* What the smbgate that was here before still has. */
static void
state_before(json_t *o, const struct takeover *t, uint64_t now)
{
	struct takeover_rest rest;
	json_t *b;

	if (!takeover_rest(t, &rest)) {
		jset_name(o, "before", NULL);
		return;
	}
	b = jset_object(o, "before");
	jset_int(b, "pid", rest.pid);
	jset_int(b, "connections", rest.connections);
	jset_name(b, "why", rest.why[0] == '\0' ? NULL : rest.why);
	jset_int(b, "remaining_s", rest.until_ms > now ? (rest.until_ms - now) / 1000 : 0);
}

json_t *
report_state(struct shared *m, struct keeper *k, const struct takeover *t)
{
	json_t *root = json_object(), *o = jset_object(root, "state");
	uint64_t now = clock_ms();
	char last[FAULT_WORDS];
	struct keeper_info info;

	jset_name(o, "backend", m == NULL ? "local" : "redis");
	state_before(o, t, now);
	if (m == NULL)
		return root;
	keeper_describe(k, &info);
	state_servers(o, shared_link(m));
	jset_bool(o, "connected", info.link.ready);
	jset_bool(o, "listening", info.news.ready);
	jset_name(o, "server", info.link.server);
	jset_name(o, "role", info.link.role);
	jset_name(o, "eviction", info.link.eviction);
	jset_int(o, "since_s", (now - info.link.since_ms) / 1000);
	jset_int(o, "connects", info.link.connects);
	jset_int(o, "epoch", info.epoch);
	jset_int(o, "latency_us", info.latency_us);
	jset_int(o, "said_again", shared_stats(m)->said);
	fault_last(shared_faults(m), last);
	jset_name(o, "trouble", report_degraded(m) || !info.link.ready ? last : NULL);
	state_counters(o, m);
	state_peers(o, &info);
	return root;
}
