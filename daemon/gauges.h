/* gauges.h: how it stands with smbgate now, beside what it has counted */
#ifndef DAEMON_GAUGES_H
#define DAEMON_GAUGES_H

#include <stdint.h>

struct ctl_env;
struct report_gauges;
struct stats;

/* Fills *now, and sums the counters of all threads. */
void gauges_now(const struct ctl_env *env, struct report_gauges *now, struct stats *sum);

/* up, silent, restarting; NULL: there is no keytab. */
const char *gauges_keyd(const struct ctl_env *env);

#endif
