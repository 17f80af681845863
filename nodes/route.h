/* route.h: choose a connection's node, once, with the map of claims having the last word */
#ifndef NODES_ROUTE_H
#define NODES_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/magic.h"
#include "state/state.h"
#include "stats/close.h"

struct keyhash;
struct node;
struct nodes;
struct policy;
struct stats;
struct guid;
struct addr;

/* One worker's. */
struct route_env {
	struct nodes *nodes;
	struct state *state;
	struct keyhash *hash;
	struct stats *stats;
	struct policy *policy;		/* in force now; the worker's reference */
};

/*
 * node is the choice (the callee owns that reference), or NULL with the reason. May be called
 * before route_start() or route_again() returns.
 */
typedef void (*route_f)(void *arg, struct node *node, enum close_reason why);

/* What is needed only until a node was reached. */
struct search;

/* One connection's; all zero before route_start(). */
struct route {
	MAGIC_MEMBER
	struct route_env *env;
	struct state_key key;
	bool waiting;			/* the map owes an answer */
	unsigned others;		/* live connections of this client besides this one */
	struct state_hold *hold;
	struct search *search;	/* NULL: not begun, or over */
};

struct state_key route_key_guid(const struct guid *g);
struct state_key route_key_addr(const struct addr *a);

/*
 * dialled (taken over; NULL: none): the node that an intercepted client dialled. While it takes new
 * clients it comes before the hash's choice; only a claim with live connections comes before it.
 */
void route_start(struct route *r, struct route_env *env, const struct state_key *key,
    struct node *dialled, route_f done, void *arg);
/*
 * The chosen node was not reached: another one, if the client is free to go there. why: the reason
 * to give if there is none.
 */
void route_again(struct route *r, struct node *failed, enum close_reason why);
/* The chosen node was reached: no other one will be asked for. */
void route_reached(struct route *r);
/* A logon succeeded. */
void route_firm(struct route *r);
/* Gives up the share in the claim. Safe at any time, also twice. */
void route_fini(struct route *r);

#endif
