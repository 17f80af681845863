/* keeper.h: keeps in Redis what this process holds, and at heart what the others do */
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
	/* An operator, here or at another proxy, has drained that node, or has ended that. */
	void (*drain)(void *arg, const char *node, bool drain);
};

/*
 * One a process. Says again every claim and fact in time, all of them after Redis was away or lost
 * its data; listens to the other proxies' exceptions. Callbacks come out of the loop.
 */
struct keeper *keeper_new(struct event_base *base, struct shared *m, const struct keeper_ops *ops,
    void *arg);
void keeper_free(struct keeper **k);

/* The operator said so here: all proxies are told, now or once they can be. */
void keeper_drain(struct keeper *k, const char *node, bool drain);

/* What is due is said now, not in a moment. */
void keeper_hurry(struct keeper *k);

/* Every stand is said again to keeper_ops: there are new nodes. */
void keeper_repeat_drains(struct keeper *k);

struct keeper_info {
	struct link_info link, news;
	uint64_t epoch;			/* 0: not known */
	uint64_t latency_us;		/* of the last look */
	uint64_t asserted;			/* claims said again */
};

void keeper_describe(struct keeper *k, struct keeper_info *info);

#endif
