/* check_route.h: where packets of intercepted clients go, asked of the kernel itself */
#ifndef CTL_CHECK_ROUTE_H
#define CTL_CHECK_ROUTE_H

struct addr;
struct check;
struct tproxy_rule;

/*
 * The way of packets that a rule has marked, and the way back to a client, which is chosen where
 * none was given. node: one that is dialled.
 */
void check_routes(struct check *c, const struct tproxy_rule *r, const struct addr *node);

#endif
