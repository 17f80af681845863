/* limits.h: accept rate and connections without a logon, limited per source and in all */
#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "stats/close.h"

struct addr;
struct limits;
struct pol_limits;

/*
 * Shared by all workers: a leaf lock, taken at accept, and once more at the logon or the end.
 * places: so many connections have descriptors; what is beyond that is not for clients.
 */
struct limits *limits_new(unsigned places);
void limits_free(struct limits **l);

/*
 * A connection from src has been accepted. True: serve it, after *delay_ms (usually 0); then
 * limits_leave() once, when it has logged on or ended. False: refuse it for the reason *why.
 * A source is an IPv4 address or an IPv6 /64.
 */
bool limits_enter(struct limits *l, const struct pol_limits *p, const struct addr *src,
    uint64_t now_ms, unsigned *delay_ms, enum close_reason *why);
void limits_leave(struct limits *l, const struct addr *src);

/* A place for one more connection, before it is accepted; limits_give() once it is closed. */
bool limits_take(struct limits *l);
void limits_give(struct limits *l);

/* How patient to be with connections without a logon now: see proxy/patience.h. */
unsigned limits_patience(struct limits *l, const struct pol_limits *p);

/* How many places there are, and how many of them are taken. */
unsigned limits_places(const struct limits *l);
unsigned limits_taken(struct limits *l);

/* Connections without a logon now. */
unsigned limits_unauthenticated(struct limits *l);

#endif
