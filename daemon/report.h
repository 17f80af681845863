/* report.h: what an operator is shown, as JSON: one object a question */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct conn_info;
struct keeper;
struct nodes;
struct policy;
struct sesstab;
struct shared;
struct state;
struct stats;

/*
 * Key names are a public interface, described in doc/smbgatectl.8.md: they may be added to, never
 * renamed. All functions run on the main thread and return a new object, or NULL when memory is
 * out; times ending in _s are seconds before now_ms, a time of clock_ms().
 */

json_t *report_nodes(struct nodes *nodes, struct state *claims, const struct policy *p,
    uint64_t now_ms);

/* Every claim, joined with the n live connections and with the sessions on these. */
json_t *report_clients(struct state *claims, struct sesstab *sessions,
    const struct conn_info *conns, size_t n, uint64_t now_ms);

json_t *report_sessions(struct sesstab *sessions, uint64_t now_ms);

/* The sessions that `who` names, see explain_names(), each with its findings. */
json_t *report_explain(struct sesstab *sessions, const struct policy *p, const char *who,
    uint64_t now_ms);

/* path is the file that it came from; since_ms when it came into force. */
json_t *report_policy(const struct policy *p, const char *path, uint64_t since_ms,
    uint64_t now_ms);

struct report_gauges {
	uint64_t connections, places, unauthenticated, sessions_now;
	uint64_t reloads, reloads_failed, policy_generation;
	uint64_t workers, uptime_s;
	bool state_degraded;		/* see report_degraded() */
};

/*
 * Every counter of sum by its name, those of closed connections in an object "closed", and the
 * gauges. describe: in an object "descriptions" beside them, what each means.
 */
json_t *report_stats(const struct stats *sum, const struct report_gauges *now, bool describe);

/* The map of claims; m and k are NULL where it is in memory. */
json_t *report_state(struct shared *m, struct keeper *k);

/* Is there a worker that does not reach the shared map? */
bool report_degraded(struct shared *m);

/* How many sessions there are. */
size_t report_count_sessions(struct sesstab *sessions);

#endif
