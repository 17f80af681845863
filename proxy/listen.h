/* listen.h: a listening socket of one worker: accept, limits, running out of descriptors */
#ifndef PROXY_LISTEN_H
#define PROXY_LISTEN_H

#include <stdbool.h>

struct conf_listen;
struct listener;
struct conn_env;

/*
 * Binds n sockets to one address, for n workers, by SO_REUSEPORT: the kernel spreads connections.
 * both: "::" takes IPv4 as well. 0, or -1 with errno: EADDRINUSE also where another process shares
 * its port out the same way, EPERM where clients cannot be intercepted without CAP_NET_RAW.
 */
int listen_bind(const struct conf_listen *l, bool both, int *fds, unsigned n)
    __attribute__((warn_unused_result));

/* Takes over fd; conf is borrowed. NULL when out of memory or descriptors. */
struct listener *listener_new(struct conn_env *env, int fd, const struct conf_listen *conf);
/* A policy is in force: sockets that are accepted from now on have its options. */
void listener_policy(struct listener *l);
void listener_free(struct listener **l);

#endif
