/* source.h: whose address a node sees: smbgate's own, the client's, or one of a pool */
#ifndef NODES_SOURCE_H
#define NODES_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"

struct keyhash;

enum source {
	SOURCE_OWN,		/* the kernel chooses */
	SOURCE_MISFIT,		/* so too: what policy wants cannot reach this node */
	SOURCE_CLIENT,
	SOURCE_POOL,
};

/*
 * Pure. From where a connection of that client to that node is made; *from is set for the last two.
 * One client has always the same address of a pool toward one node, with any proxy that has the
 * cluster's secret; a pool that changes moves only clients of the addresses that it lost or gained.
 */
enum source source_choose(const struct policy *p, enum pol_source how, struct keyhash *hash,
    const struct addr *client, const struct addr *node, struct addr *from);

/* Pure. SOURCE_POOL: no port of *from is left. The next address for that client; false: none. */
bool source_next(const struct policy *p, struct keyhash *hash, const struct addr *client,
    const struct addr *node, struct addr *from);

/* Pure. From how many addresses that node is dialled; 0: from as many as there are clients. */
size_t source_addresses(const struct policy *p, const struct addr *node);

/*
 * Before connect(): binds a socket of that address's family to it, any port. 0, or -1 with errno:
 * EADDRNOTAVAIL where it is not this machine's, EPERM where SOURCE_CLIENT lacks CAP_NET_RAW.
 */
int source_bind(int fd, enum source s, const struct addr *from) __attribute__((warn_unused_result));

/* The socket may have addresses that are not this machine's. 0, or -1 with errno: EPERM. */
int source_transparent(int fd, int family) __attribute__((warn_unused_result));

#endif
