/* accepted.h: how many connections each listener has accepted, earlier processes included */
#ifndef DAEMON_ACCEPTED_H
#define DAEMON_ACCEPTED_H

#include <stddef.h>
#include <stdint.h>

struct ctl_env;
struct tlv_out;

uint64_t accepted_by(const struct ctl_env *env, size_t listener);

/* For the next process, by the listeners' names. */
void accepted_write(struct tlv_out *o, const struct ctl_env *env);
/* What the process before has written. -1: it is none. */
int accepted_read(const struct ctl_env *env, const void *record, size_t n);

#endif
