/* ready.h: does smbgate live, and does it take clients? For those who ask before they send some */
#ifndef DAEMON_READY_H
#define DAEMON_READY_H

struct ctl_env;

/* NULL: it does; else why not. */
const char *ready_live(const struct ctl_env *env);
const char *ready_takes(const struct ctl_env *env);

#endif
