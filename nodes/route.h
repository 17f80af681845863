/* route.h: choose a connection's node, once, with the map of claims having the last word */
#ifndef NODES_ROUTE_H
#define NODES_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* By what a node was chosen; words for people: route_by_str(). */
enum route_by { ROUTE_NOWHERE, ROUTE_HASH, ROUTE_CLAIM, ROUTE_DIALLED, ROUTE_ADDRESS, ROUTE_BLIND };
/* NULL: nowhere. ROUTE_ADDRESS: it has no GUID, and so no claim. */
const char *route_by_str(enum route_by by);

/* What is needed only until a node was reached. */
struct search;

/* One connection's; before route_start() all zero, but for what is set before. */
struct route {
	MAGIC_MEMBER
	uint16_t oldest;		/* dialect that the client takes; 0: any. Set before */
	struct route_env *env;
	struct state_hold *hold;
	struct search *search;	/* NULL: not begun, or over */
	struct state_key key;
	uint8_t by : 4;			/* enum route_by: the last choice */
	bool waiting : 1;		/* the map owes an answer */
	bool others : 1;		/* the client has live connections besides this one */
	bool elsewhere : 1;		/* for route_adopt() alone: the map says so */
	uint16_t traffic;		/* the number of the node's name; 0: see traffic.h */
};

/* cluster: see nodes/cluster.h and node_cluster(). */
struct state_key route_key_guid(const struct guid *g, uint32_t cluster);
struct state_key route_key_addr(const struct addr *a, uint32_t cluster);
/* What the client has to do with: two connections of one cluster have the same number. */
uint32_t route_cluster(const struct route *r);

/*
 * Where the hash sends a client that lives nowhere, as it looks now; NULL: no node takes it. The
 * caller owns a reference.
 */
struct node *route_hash(struct route_env *env, const struct state_key *key);

/*
 * A key that is an address has no claim, and its connections are placed each for itself where each
 * has another salt, or alike where all have 0.
 *
 * A node whose newest dialect is older than the client's oldest is no choice while there is another
 * one: it would refuse the client.
 *
 * dialled (taken over; NULL: none): the node that an intercepted client dialled. While it takes new
 * clients it comes before the hash's choice; only a claim with live connections comes before it.
 */
void route_start(struct route *r, struct route_env *env, const struct state_key *key, uint64_t salt,
    struct node *dialled, route_f done, void *arg);
/*
 * The chosen node was not reached: another one, if the client is free to go there. why: the reason
 * to give if there is none.
 */
void route_again(struct route *r, struct node *failed, enum close_reason why);
/* The chosen node was reached: no other one will be asked for. */
void route_reached(struct route *r);
/*
 * In the place of route_start(), for a client that has logged on and lives on that node: the
 * connection was another process's. r has what was set there, but no hold. False: the client lives
 * elsewhere, or memory is out.
 */
bool route_adopt(struct route *r, struct route_env *env, struct node *n)
    __attribute__((warn_unused_result));
/* A logon succeeded. */
void route_firm(struct route *r);
/*
 * Gives up the share in the claim. may_return: the client may have left something at its node, and
 * is kept there for it. Safe at any time, also twice.
 */
void route_fini(struct route *r, bool may_return);

/* The same, for a connection that another process goes on with: the claim stays. */
void route_depart(struct route *r);

#endif
