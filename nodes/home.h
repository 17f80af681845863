/* home.h: pure: the node that every proxy chooses for a client, whatever it sees of the nodes */
#ifndef NODES_HOME_H
#define NODES_HOME_H

#include <stdbool.h>
#include <stddef.h>

struct keyhash;
struct node;
struct state_key;

/*
 * By hash and weight alone, among the nodes that policy or an operator has not taken out: these all
 * proxies know of. Health and load differ from proxy to proxy, or did a moment ago. NULL: there is
 * none.
 */
struct node *home_of(struct node *const *all, size_t n, const struct keyhash *hash,
    const struct state_key *key, bool next);

#endif
