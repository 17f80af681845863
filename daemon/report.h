/* report.h: what an operator is shown, as JSON: one object a question */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct channel_info;
struct conf;
struct conn_info;
struct ctl_env;
struct keeper;
struct policy;
struct refusal;
struct refused;
struct sesstab;
struct session_info;
struct shared;
struct takeover;
struct state;
struct stats;
struct view;
struct who;

/*
 * Key names are a public interface, described in doc/smbgatectl.1.md: they may be added to, never
 * renamed. All functions run on the main thread, but for those that say otherwise, and return a new
 * object, or NULL when memory is out; times ending in _s are seconds before now_ms, a time of
 * clock_ms().
 */

struct report_conns {
	const struct conn_info *all;
	size_t n;
};

json_t *report_nodes(const struct ctl_env *env, uint64_t now_ms);

/*
 * Those of which there may be many, as the view has them; they may be made on any thread. Every
 * claim, joined with the live connections and with the sessions on these; view NULL: all.
 */
json_t *report_clients(const struct ctl_env *env, const struct report_conns *live,
    const struct view *view, uint64_t now_ms);
json_t *report_connections(const struct report_conns *live, const struct view *view,
    uint64_t now_ms);

/* Whoever speaks SMB1 or SMB 2.0.2, or has logged on by NTLM. */
json_t *report_old(struct sesstab *sessions, const struct conn_info *conns, size_t n,
    uint64_t now_ms);

json_t *report_sessions(struct sesstab *sessions, const struct policy *p, const struct view *view,
    uint64_t now_ms);

/* A row of that, appended to a list and returned, borrowed. */
json_t *report_session(json_t *rows, const struct policy *p, const struct session_info *si,
    const struct channel_info *channels, size_t n, uint64_t now_ms);

/* The keys of one refusal. */
void report_refusal(json_t *o, const struct refusal *r, uint64_t now_ms);

/* What was refused, the newest first; who: only to that address or GUID; NULL: to all. */
json_t *report_refusals(struct refused *refused, const struct who *who, uint64_t now_ms);

/* With the listeners that it is for; since_ms: when it came into force. */
json_t *report_policy(const struct policy *p, const struct conf *conf, uint64_t since_ms,
    uint64_t now_ms);

struct report_gauges {
	uint64_t connections, places, unauthenticated, guests, unauthenticated_bytes, sessions_now;
	uint64_t reloads, reloads_failed, policy_generation;
	uint64_t workers, uptime_s;
	uint64_t keyd_restarts, guard_restarts, keyd_timeouts;
	uint64_t keyd_queue, keyd_answers, keyd_wait_us, keyd_wait_us_max;
	uint64_t keyd_asked, keyd_keys, keyd_other_service, keyd_old, keyd_again, keyd_no_reply;
	uint64_t keyd_slowed, keyd_unmatched;
	const char *keyd;		/* how it stands with smbgate-keyd; NULL: there is none */
	bool state_degraded;		/* see report_degraded() */
};

/*
 * Every counter of sum by its name, those of closed connections in an object "closed", and the
 * gauges. describe: in an object "descriptions" beside them, what each means.
 */
json_t *report_stats(const struct stats *sum, const struct report_gauges *now, bool describe);

/* The map of claims; m and k are NULL where it is in memory. */
json_t *report_state(struct shared *m, struct keeper *k, const struct takeover *t);

/* Is the shared map out of reach? */
bool report_degraded(struct shared *m);

#endif
