/* gauges.c: how it stands with smbgate now, beside what it has counted */
#include "config.h"

#include "daemon/gauges.h"

#include "auth/keywatch.h"
#include "base/clock.h"
#include "daemon/ctl_env.h"
#include "daemon/guard.h"
#include "daemon/report.h"
#include "inspect/session_tally.h"
#include "policy/policy.h"
#include "proxy/limits.h"
#include "proxy/strangers.h"
#include "proxy/worker.h"
#include "stats/stats.h"

/* As its guard knows it, and as those that it answers do. */
const char *
gauges_keyd(const struct ctl_env *env)
{
	static const char *const states[] = {
		[GUARD_KEYD_UP] = "up",
		[GUARD_KEYD_SILENT] = "silent",
		[GUARD_KEYD_RESTARTING] = "restarting",
	};
	const struct guard_state *s;

	if (env->guard == NULL)
		return NULL;
	s = guard_state(env->guard);
	return states[s->keyd == GUARD_KEYD_UP && env->keywatch->silent ? GUARD_KEYD_SILENT
	                                                                : s->keyd];
}

static void
keyd_gauges(const struct ctl_env *env, struct report_gauges *now)
{
	const struct keywatch *w = env->keywatch;
	const struct guard_state *s;

	if (env->guard == NULL)
		return;
	s = guard_state(env->guard);
	now->keyd = gauges_keyd(env);
	now->keyd_restarts = s->keyd_restarts;
	now->guard_restarts = s->guard_restarts;
	now->keyd_timeouts = w->timeouts;
	now->keyd_queue = w->queued;
	now->keyd_answers = w->answers;
	now->keyd_wait_us = w->wait_us;
	now->keyd_wait_us_max = w->wait_us_max;
	now->keyd_asked = s->count[KEYD_ASKED];
	now->keyd_keys = s->count[KEYD_KEYS];
	now->keyd_other_service = s->count[KEYD_OTHER_SERVICE];
	now->keyd_old = s->count[KEYD_OLD];
	now->keyd_again = s->count[KEYD_AGAIN];
	now->keyd_no_reply = s->count[KEYD_NO_REPLY];
	now->keyd_slowed = s->count[KEYD_SLOWED];
	now->keyd_unmatched = w->unmatched;
}

void
gauges_now(const struct ctl_env *env, struct report_gauges *now, struct stats *sum)
{
	unsigned guests, unauthenticated = limits_unauthenticated(env->limits, &guests);

	*now = (struct report_gauges){
		.connections = workers_connections(env->workers, env->nworkers),
		.places = limits_places(env->limits),
		.unauthenticated = unauthenticated,
		.guests = guests,
		.sessions_now = sesstab_count(env->sessions),
		.reloads = env->status->reloads,
		.reloads_failed = env->status->reloads_failed,
		.policy_generation = env->status->policy->generation,
		.workers = env->nworkers,
		.uptime_s = (clock_ms() - env->started_ms) / 1000,
		.state_degraded = report_degraded(env->shared),
	};
	keyd_gauges(env, now);
	*sum = (struct stats){ .count = { 0 } };
	for (size_t i = 0; i < env->nworkers; i++) {
		stats_sum(sum, &env->workers[i]->stats);
		now->unauthenticated_bytes += strangers_bytes(env->workers[i]->env.strangers);
	}
	stats_sum(sum, env->stats);
}
