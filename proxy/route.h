/* route.h: choose a connection's node, once, with the map of claims having the last word */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/close.h"
#include "state/state.h"

struct keyhash;
struct node;
struct nodes;
struct policy;
struct stats;
struct guid;
struct addr;

/* Nodes that one connection tries before it gives up. */
#define ROUTE_TRIES_MAX 8

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

/* One connection's; all zero before route_start(). */
struct route {
	struct route_env *env;
	struct state_key key;
	struct state_hold *hold;
	struct node *dialled;		/* what the client itself says, or NULL; a reference */
	struct node *wanted;		/* that, or what the hash says; a reference */
	struct node *home;		/* where the map is shared: what every proxy says; a reference */
	bool wanted_usable;
	bool waiting;			/* the map owes an answer */
	unsigned others;		/* live connections of this client besides this one */
	unsigned moves;
	unsigned ntried;
	struct node *tried[ROUTE_TRIES_MAX];	/* references */
	route_f done;
	void *arg;
};

struct state_key route_key_guid(const struct guid *g);
struct state_key route_key_addr(const struct addr *a);

/*
 * dialled (taken over; NULL: none): the node that an intercepted client dialled. It has the place of
 * the hash's choice while it takes new clients, and only a claim with live connections outdoes it.
 */
void route_start(struct route *r, struct route_env *env, const struct state_key *key,
    struct node *dialled, route_f done, void *arg);
/* The chosen node did not answer: another one, if the client is free to go there. */
void route_again(struct route *r, struct node *failed);
/* A logon succeeded. */
void route_firm(struct route *r);
/* Gives up the share in the claim. Safe at any time, also twice. */
void route_fini(struct route *r);

#endif
