/* limits.h: accept rate and connections, limited per source, and those without a logon in all */
#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "stats/close.h"

struct addr;
struct limits;
struct pol_limits;

/* What a connection is to the limits. It only gets better. */
enum standing {
	STANDING_NONE,		/* not counted: over, or a listed proxy's own */
	STANDING_STRANGER,	/* without a logon */
	/* with one for which nobody had to be known: a guest's, or anonymous */
	STANDING_GUEST,
	STANDING_USER,
};

/*
 * Shared by all workers: a leaf lock, taken at accept, at each change of standing and at the end.
 * places: so many connections have descriptors; what is beyond that is not for clients.
 */
struct limits *limits_new(unsigned places);
void limits_free(struct limits **l);

/*
 * A connection from src has been accepted. True: serve it, after *delay_ms (usually 0), as a
 * stranger. False: refuse it for the reason *why. A source is an IPv4 address or an IPv6 /64.
 */
bool limits_enter(struct limits *l, const struct pol_limits *p, const struct addr *src,
    uint64_t now_ms, unsigned *delay_ms, enum close_reason *why);
/* One that another process had accepted, whatever the limits say now. False: memory is out. */
bool limits_adopt(struct limits *l, const struct addr *src, enum standing as);
/*
 * Its standing changes; to NONE when it is over. False: there is no room for one more guest, and it
 * stays what it was; never for anybody else.
 */
bool limits_move(struct limits *l, const struct pol_limits *p, const struct addr *src,
    enum standing from, enum standing to);

/* A place for one more connection, before it is accepted; limits_give() once it is closed. */
bool limits_take(struct limits *l);
void limits_give(struct limits *l);

/* How patient to be with connections without a logon now: see proxy/patience.h. */
unsigned limits_patience(struct limits *l, const struct pol_limits *p);

/* How many places there are, and how many of them are taken. */
unsigned limits_places(const struct limits *l);
unsigned limits_taken(struct limits *l);

/* Connections without a logon now, guests among them; and how many of them are guests. */
unsigned limits_unauthenticated(struct limits *l, unsigned *guests);

#endif
