/* report_explain.h: why clients have one channel or several, as JSON */
#ifndef DAEMON_REPORT_EXPLAIN_H
#define DAEMON_REPORT_EXPLAIN_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/json.h"

struct addr;
struct conn_info;
struct ctl_env;
struct guid;
struct policy;
struct who;

/*
 * The keys are a public interface, see report.h. The clients that who means, of whatever kind, and
 * their sessions; on any thread. NULL: memory is out.
 */
json_t *report_explain(const struct ctl_env *env, struct policy *p, const struct who *who,
    const struct conn_info *conns, size_t n, uint64_t now_ms);

/* What policy does to an address; listener NULL: at each of them. On any thread. */
json_t *report_address(const struct ctl_env *env, const struct policy *p, const struct addr *a,
    const char *listener);
/* Where a client with that GUID would go; on any thread. */
json_t *report_guid(const struct ctl_env *env, struct policy *p, const struct guid *g,
    const char *listener);

#endif
