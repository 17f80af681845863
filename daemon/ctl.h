/* ctl.h: the control socket: one JSON request a connection, one JSON answer */
#ifndef DAEMON_CTL_H
#define DAEMON_CTL_H

struct ctl;
struct ctl_env;

/*
 * Binds a listening unix socket of mode 0600, making its directory if that is missing. A socket
 * that a dead process left behind is replaced; one that answers is not. The descriptor, or -1: the
 * reason is logged.
 */
int ctl_bind(const char *path);

/* Serves the socket on the loop of env, which is borrowed; takes over fd. NULL: out of memory. */
struct ctl *ctl_new(const struct ctl_env *env, int fd);
void ctl_free(struct ctl **c);

#endif
