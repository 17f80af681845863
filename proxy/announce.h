/* announce.h: which interface list a client is told */
#ifndef PROXY_ANNOUNCE_H
#define PROXY_ANNOUNCE_H

#include <stddef.h>

struct addr;
struct ifinfo;
struct policy;

/*
 * Pure. Decides the answer to an interface query that arrived on `dialled` through `listener`,
 * where the node's own answer was the n entries of `list`. Writes at most max entries to out and
 * returns their number; 0 is a valid answer. Mode `pass` never comes here: see rewrite.c.
 *
 *   announce: the listener's list of the policy; without one, the dialled address.
 *   filter:   the node's list.
 *   Then: forbidden, link-local and unspecified addresses go. A client that came in through a
 *   forbidden address is told that one address alone, which it knows already.
 */
size_t announce(const struct policy *p, const char *listener, const struct addr *dialled,
    const struct ifinfo *list, size_t n, struct ifinfo *out, size_t max);

#endif
