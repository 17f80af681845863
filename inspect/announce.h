/* announce.h: which interface list a client is told */
#ifndef INSPECT_ANNOUNCE_H
#define INSPECT_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"

struct ifinfo;
struct query_lists;

/*
 * What the listener's section says. Without one: announce; but filter where clients dial the nodes'
 * own addresses, which our own would lead them away from.
 */
enum pol_ifmode announce_mode(const struct policy *p, const char *listener, bool intercept);

/*
 * Pure. Decides the answer to an interface query that arrived on `dialled` through `listener` in
 * that mode of announce_mode(), where the node's own answer was the n entries of `list`. Writes at
 * most max entries to out and returns their number; 0 is a valid answer. Mode `pass` never comes
 * here: see query.c.
 *
 *   announce: the listener's list of the policy; without one, the dialled address.
 *   filter:   the node's list.
 *   Then: forbidden, link-local and unspecified addresses go. A client that came in through a
 *   forbidden address is told that one address alone, which it knows already.
 */
size_t announce(const struct policy *p, const char *listener, enum pol_ifmode mode,
    const struct addr *dialled, const struct ifinfo *list, size_t n, struct ifinfo *out,
    size_t max);

/*
 * Pure. What the client might have been told and was not, each once: of the listener's list, as far
 * as it is told that, and of the node's. Writes at most max entries to out and returns their
 * number.
 */
size_t announce_removed(const struct policy *p, const char *listener, bool intercept,
    const struct query_lists *l, struct ifinfo *out, size_t max);

#endif
