/* dialled.h: which node an intercepted client dialled, and which cluster a client has to do with */
#ifndef PROXY_DIALLED_H
#define PROXY_DIALLED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct conn;
struct node;

/*
 * The node that an intercepted client dialled, or NULL: policy has none at that address, and has
 * removed none that still has clients. A reference of the caller's.
 */
struct node *dialled_node(const struct conn *c);
/* Of clients of any listener: nodes/cluster.h. */
uint32_t dialled_cluster(const struct conn *c);
/* Where its node is: the address that was dialled, if that is one of this node's. */
struct addrport dialled_to(const struct conn *c);
/* Is that one which policy has removed, and n another one? Nobody says that n stands in for it. */
bool dialled_forbids(const struct conn *c, const struct node *n);
/* It has its node: counts and says that this is another one than it dialled. */
void dialled_note(struct conn *c);
/* The name of the node that was dialled, or the address if that is no node's; "": smbgate's own. */
void dialled_name(const struct conn *c, char dst[64]);

#endif
