/* ctl.h: the control socket: one JSON request a connection, one JSON answer */
#ifndef DAEMON_CTL_H
#define DAEMON_CTL_H

#include "daemon/json.h"

struct ctl;
struct ctl_env;

/*
 * Binds a listening unix socket of mode 0600, or 0660 and of that group (NULL: none), making its
 * directory if that is missing. A socket that a dead process left behind is replaced; one that
 * answers is not. While it may still change owners: before the change of the user. The descriptor,
 * or -1: the reason is logged.
 */
int ctl_bind(const char *path, const char *group);
/* Who may connect to the socket of the smbgate that runs, from now on. -1: the reason is logged. */
int ctl_readmit(const char *path, const char *group);
/*
 * Where a successor asks for all that smbgate has: beside the control socket, of mode 0600 for
 * good. The path, into CTL_PATH_MAX bytes, and the socket; -1 the same.
 */
#define CTL_PATH_MAX 128
int ctl_successors_path(const char *control, char *path);
int ctl_bind_successors(const char *path);
/*
 * Could it? 0; 1: there is a smbgate that answers; -1: why, of CTL_WHY bytes, says what is wrong.
 * Nothing is made or taken away.
 */
#define CTL_WHY 160
int ctl_try(const char *path, char *why);

/* Serves the socket on the loop of env, which is borrowed; takes over fd. NULL: out of memory. */
struct ctl *ctl_new(const struct ctl_env *env, int fd);
/*
 * Another process serves the socket. Nobody is accepted here any more, and whoever has come is told
 * to ask again. The one whose request is being carried out has its answer: so a request may lead
 * to this, though not to ctl_free().
 */
void ctl_retire(struct ctl *c);
void ctl_free(struct ctl **c);

/*
 * smbgate is about to end: who waits for that is told, by this object, which is taken over. Their
 * connections stay until ctl_free(), or a bit longer: by that they see when it has ended.
 */
void ctl_over(struct ctl *c, json_t *o);

#endif
