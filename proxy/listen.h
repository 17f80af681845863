/* listen.h: a listening socket of one worker: accept, limits, running out of descriptors */
#ifndef PROXY_LISTEN_H
#define PROXY_LISTEN_H

#include <stdbool.h>

struct conf_listen;
struct listener;
struct conn_env;

/*
 * Binds n sockets to one address, for n workers, by SO_REUSEPORT: the kernel spreads connections.
 * both: "::" takes IPv4 as well. 0, or -1 with errno: EADDRINUSE also when another process uses the
 * port with SO_REUSEPORT, EPERM when CAP_NET_RAW is missing, which intercepting needs.
 */
int listen_bind(const struct conf_listen *l, bool both, int *fds, unsigned n)
    __attribute__((warn_unused_result));
/* Would it? The address is bound, and given up again. */
int listen_try(const struct conf_listen *l, bool both) __attribute__((warn_unused_result));
/*
 * Makes a socket that another smbgate has bound what the listener needs, as far as it is not. NULL,
 * or what it cannot be made.
 */
const char *listen_adopt(const struct conf_listen *l, bool both, int fd);

/* Takes over fd; conf is borrowed. NULL when out of memory or descriptors. */
struct listener *listener_new(struct conn_env *env, int fd, const struct conf_listen *conf);
/* Another policy is in force: sockets accepted from now on have its options. */
void listener_policy(struct listener *l);
/* Nobody is accepted, or again; whoever comes waits in the queue. */
void listener_pause(struct listener *l);
void listener_go_on(struct listener *l);
void listener_free(struct listener **l);

#endif
