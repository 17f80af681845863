/* report_stats.c: what an operator is shown of the counters, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "daemon/json.h"
#include "stats/stats.h"

#include <stddef.h>

/* What stands beside the counters: how it is now. */
static const struct {
	const char *name;
	size_t at;
	const char *help;
} gauges[] = {
#define GAUGE(name) #name, offsetof(struct report_gauges, name)
	{ GAUGE(connections), "connections of clients now" },
	{ GAUGE(places), "connections of clients that there are descriptors for" },
	{ GAUGE(unauthenticated), "of those, without a user's logon" },
	{ GAUGE(guests), "of those, guests and the anonymous" },
	{ GAUGE(unauthenticated_bytes), "memory that connections without a user's logon have" },
	{ GAUGE(sessions_now), "sessions now" },
	{ GAUGE(reloads), "reloads of policy.conf that succeeded" },
	{ GAUGE(reloads_failed), "reloads of policy.conf that found errors and changed nothing" },
	{ GAUGE(policy_generation), "the policy in force: 1 at the start, plus one a reload" },
	{ GAUGE(workers), "worker threads" },
	{ GAUGE(uptime_s), "seconds since the start" },
	{ GAUGE(keyd_restarts), "times that smbgate-keyd was started again: it had died, or hung" },
	{ GAUGE(guard_restarts), "times that the guard of the keytab died, and was replaced" },
	{ GAUGE(keyd_timeouts), "logons that smbgate-keyd did not answer in time" },
	{ GAUGE(keyd_queue), "logons that wait for smbgate-keyd to have time for them" },
	{ GAUGE(keyd_answers), "logons that smbgate-keyd has answered, with a key or without" },
	{ GAUGE(keyd_wait_us), "total time that these answers took, in microseconds" },
	{ GAUGE(keyd_wait_us_max), "the longest time that one of them took, in microseconds" },
	{ GAUGE(keyd_asked), "logons that smbgate-keyd was asked about, as it has counted" },
	{ GAUGE(keyd_keys), "keys that smbgate-keyd has given" },
	{ GAUGE(keyd_other_service), "logons without a key: for a service not in keytab-services" },
	{ GAUGE(keyd_old), "logons without a key: they were made more than a day ago, or ahead" },
	{ GAUGE(keyd_again), "logons without a key: smbgate-keyd had answered the same before" },
	{ GAUGE(keyd_no_reply), "tickets without a key: smbgate-keyd never saw their AP-REP" },
	{ GAUGE(keyd_slowed), "times that a worker had to wait: it had asked more than keytab-rate" },
	{ GAUGE(keyd_unmatched), "logons that smbgate-keyd was asked about, and no node accepted" },
#undef GAUGE
};

/* The same keys as the object "stats", with a text for each. */
static void
stats_descriptions(json_t *root)
{
	json_t *o = jset_object(root, "descriptions"), *closed;

	for (int i = 0; i < STAT_COUNT; i++)
		jset_text(o, stats_name(i), stats_help(i));
	closed = jset_object(o, "closed");
	for (int i = 0; i < CLOSE_COUNT; i++)
		jset_text(closed, close_counter(i), close_text(i));
	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
		jset_text(o, gauges[i].name, gauges[i].help);
	jset_text(o, "keyd", "how it stands with smbgate-keyd: up, silent or restarting");
	jset_text(o, "state_degraded", "a worker cannot reach the shared map of claims now");
}

json_t *
report_stats(const struct stats *sum, const struct report_gauges *now, bool describe)
{
	json_t *root = json_object(), *o = jset_object(root, "stats"), *closed;

	for (int i = 0; i < STAT_COUNT; i++)
		jset_int(o, stats_name(i), sum->count[i]);
	closed = jset_object(o, "closed");
	for (int i = 0; i < CLOSE_COUNT; i++)
		jset_int(closed, close_counter(i), sum->closed[i]);
	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
		jset_int(o, gauges[i].name,
		    *(const uint64_t *)(const void *)((const char *)now + gauges[i].at));
	jset_text(o, "keyd", now->keyd);
	jset_bool(o, "state_degraded", now->state_degraded);
	if (describe)
		stats_descriptions(root);
	return root;
}
