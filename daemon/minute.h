/* minute.h: what turns clients away, said once a minute in place of a line for each of them */
#ifndef DAEMON_MINUTE_H
#define DAEMON_MINUTE_H

struct ctl_env;
struct minute;

/* On the main thread; env is borrowed. NULL: out of memory. */
struct minute *minute_new(const struct ctl_env *env);
void minute_free(struct minute **m);

#endif
