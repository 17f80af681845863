/* tproxy.h: pure: what nftables' rules, as "nft -j" lists them, hand over by TPROXY */
#ifndef CTL_TPROXY_H
#define CTL_TPROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/addr.h"

/* A rule that hands connections to a socket. It is a part of the ruleset, and borrowed. */
struct tproxy_rule {
	const json_t *expr;
	struct addrport to;		/* port 0: the one that was dialled */
	bool v4, v6;			/* which packets it takes */
	char dev[16];			/* the interface that they come in by; "": any, several */
	long long mark;			/* -1: it sets none, or one that is not a number */
};

/* The next one, from rule *i on. */
bool tproxy_next(const json_t *ruleset, size_t *i, struct tproxy_rule *r);
/* Are connections to that address and port handed to a socket that listens on `listener`? */
bool tproxy_gives(const json_t *ruleset, const struct tproxy_rule *r, const struct addr *dialled,
    const struct addrport *listener);
/* Is there a rule that sets this mark on packets of l4proto for which there is such a socket? */
bool tproxy_keeps(const json_t *ruleset, const char *l4proto, long long mark);

#endif
