/* keeper.h: keeps in Redis what this process holds, and in memory what the others put there */
#ifndef STATE_KEEPER_H
#define STATE_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/link.h"
#include "state/state.h"

struct event_base;
struct keeper;
struct shared;

struct keeper_ops {
	/* The claim of key is another proxy's, for another node: its connections here must end. */
	void (*lost)(void *arg, const struct state_key *key);
	/* A drain order: another proxy's operator has given it, or it is repeated. */
	void (*drain)(void *arg, const char *node, bool drain);
};

/*
 * One a process. Asserts every claim and fact again before its lease is over, and all of them after
 * Redis was away or lost its data; follows the other proxies' exceptions. Callbacks run from the
 * loop, and out of keeper_repeat_drains().
 */
struct keeper *keeper_new(struct event_base *base, struct shared *m, const struct keeper_ops *ops,
    void *arg);
void keeper_free(struct keeper **k);

/* An operator drains a node here, or ends that: other proxies follow, now or once they can. */
void keeper_drain(struct keeper *k, const char *node, bool drain);

/* Asserts what is due at once, not at the next turn. */
void keeper_hurry(struct keeper *k);

/* Calls drain() for every order that there is: the nodes are new. */
void keeper_repeat_drains(struct keeper *k);

struct keeper_info {
	struct link_info link, news;
	uint64_t epoch;			/* 0: not known */
	uint64_t latency_us;		/* of the last look */
	uint64_t asserted;			/* claims, each time again */
};

void keeper_describe(struct keeper *k, struct keeper_info *info);

#endif
