/* errands.h: what operators ask of the smbgate that has taken over is done here, too */
#ifndef DAEMON_ERRANDS_H
#define DAEMON_ERRANDS_H

#include <stddef.h>

struct ctl_env;
struct errands;

/* env is borrowed, and need not be complete yet. NULL: memory is out. */
struct errands *errands_new(const struct ctl_env *env);
/* What is under way is forgotten. */
void errands_free(struct errands **o);

/*
 * A request, as the control socket has them, from whoever was asked for it and has carried it out.
 * Nobody waits for the answer; an error is logged.
 */
void errands_run(struct errands *o, const char *request, size_t n);

#endif
