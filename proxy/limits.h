/* limits.h: accept rate and connections without a logon, limited per source and in all */
#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "stats/close.h"

struct addr;
struct limits;
struct pol_limits;

/* Shared by all workers: a leaf lock, taken at accept, and once more at the logon or the end. */
struct limits *limits_new(void);
void limits_free(struct limits **l);

/*
 * A connection from src has been accepted. True: serve it, after *delay_ms (usually 0); then
 * limits_leave() once, when it has logged on or ended. False: refuse it for the reason *why.
 * A source is an IPv4 address or an IPv6 /64.
 */
bool limits_enter(struct limits *l, const struct pol_limits *p, const struct addr *src,
    uint64_t now_ms, unsigned *delay_ms, enum close_reason *why);
void limits_leave(struct limits *l, const struct addr *src);

/* Connections without a logon now. */
unsigned limits_unauthenticated(struct limits *l);

#endif
