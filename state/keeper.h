/* keeper.h: the thread that brings the map of claims to Redis, and what others put there to us */
#ifndef STATE_KEEPER_H
#define STATE_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/link.h"
#include "state/names.h"
#include "state/peers.h"
#include "state/rests.h"
#include "state/state.h"

struct keeper;
struct order_said;
struct shared;
struct tlv_out;

/* Called on the keeper's thread, but for home(): wherever it is, under a lock. */
struct keeper_ops {
	/* The claim of key is another proxy's, for another node: its connections here must end. */
	void (*lost)(void *arg, const struct state_key *key);
	/* There is a new drain order, of another proxy's operator, or from before an upgrade. */
	void (*drain)(void *arg);
	/* Through another proxy a client has said that it lost its connections. */
	void (*reset)(void *arg, const struct state_reset *r);
	/* Another proxy's state_tell(). False: that cannot be. */
	bool (*told)(void *arg, const void *bytes, size_t len);
	/* All proxies that are there have the nodes that keeper_nodes() was told of as that. */
	void (*agreed)(void *arg, uint64_t nodes);
	/* See shared_home_f. It only computes. */
	void (*home)(void *arg, const struct state_key *key, const char *home[2]);
};

/*
 * One a process, with a thread and a link of its own. Renews the lease, carries out what is decided
 * in m, says all of it again after Redis was away or lost its data; follows the other proxies'
 * exceptions and drain orders.
 */
struct keeper *keeper_new(struct shared *m, const struct keeper_ops *ops, void *arg);
/* Gives up every claim, if Redis answers at once. Other threads no longer use m, but to leave. */
void keeper_free(struct keeper **k);

/* From any thread: */

/* An operator drains a node here, or ends that: other proxies follow, now or once they can. */
void keeper_drain(struct keeper *k, const char *node, const char *stand);
/* Every drain order that there is. */
void keeper_each_drain(struct keeper *k, void (*f)(void *arg, const struct order_said *said),
    void *arg);
/* The last one about that node; false: there is none. */
bool keeper_find_drain(struct keeper *k, const char *node, struct order_said *said);
/* As orders_write() and orders_read(). */
void keeper_write_drains(struct keeper *k, struct tlv_out *o);
int keeper_read_drains(struct keeper *k, const void *record, size_t len)
    __attribute__((warn_unused_result));
/* Whom we still have on drained nodes, as of now: the other proxies are told, once a second. */
void keeper_tell_rests(struct keeper *k, const struct rests *r);
/*
 * The nodes, their weights and which are drained have that hash now: homes may have changed. out:
 * as for shared_rehome().
 */
void keeper_nodes(struct keeper *k, uint64_t nodes, const char *out);

#define KEEPER_PEERS_MAX 64

/* What another proxy says of such an order. */
struct keeper_rest {
	char name[PEER_NAME_MAX];
	enum rest_says says;
	struct rest rest;		/* all zero but for REST_SAID */
	uint64_t at_ms;			/* so it was then, by clock_ms(), or later */
};

/*
 * The same of all that are in this cluster, and alive. False: these are not known, for Redis is not
 * reached, or they are too many.
 */
bool keeper_rests(struct keeper *k, uint64_t order, struct keeper_rest all[KEEPER_PEERS_MAX],
    size_t *n) __attribute__((warn_unused_result));

struct keeper_info {
	struct link_info link, news;
	uint64_t epoch;			/* 0: not known */
	uint64_t latency_us;		/* of the last look */
	bool refused;			/* a proxy of another version is there */
	size_t npeers;
	struct peer peers[KEEPER_PEERS_MAX];
};

void keeper_describe(struct keeper *k, struct keeper_info *info);

#endif
