/* estate.h: what moves beside connections: counters, refusals, nodes' states, operators' orders */
#ifndef DAEMON_ESTATE_H
#define DAEMON_ESTATE_H

#include <stdbool.h>

struct ctl_env;
struct estate;
struct takemsg;

/* On the main thread, of either process; env is borrowed. NULL: memory is out. */
struct estate *estate_new(const struct ctl_env *env);
/* No claim is held any longer for the process before this one. */
void estate_free(struct estate **e);

/*
 * all: to whoever goes on, everything. Else what was counted since then. False: nobody hears it.
 */
bool estate_send(struct estate *e, int to, bool all);
/* A STATE of the process before this one. What cannot be read is passed over, and logged. */
void estate_heard(struct estate *e, const struct takemsg *m);

#endif
