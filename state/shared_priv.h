/* shared_priv.h: the inside of the table of claims, for the files shared*.c alone */
#ifndef STATE_SHARED_PRIV_H
#define STATE_SHARED_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/hash.h"

#include <uthash.h>

#include "state/fault.h"
#include "state/names.h"
#include "state/record.h"
#include "state/shared.h"
#include "state/state.h"
#include "state/wake.h"

struct exceptions;
struct queries;
struct link_conf;

/*
 *	           answer               the only connection
 *	ASKING ───────────► DECIDING ◄───────────────────────► PLACED ◄──┐ more come
 *	  ▲  │ none in time: blind ▲ │ settles, leaves            │ ▲────┘
 *	  │  └─────────────────────┘ │ moves                      │ nobody is left
 *	  │                          ▼                            ▼
 *	  │               MOVING ── answer ──► DECIDING        LEAVING ── answer ──► (gone)
 *	  │                  │ none                               │ somebody comes
 *	  │                  ▼                                    │
 *	  │               UNSURE ── nobody is left ──► LEAVING    │
 *	  └───────────────────────────────────────────────────────┘
 *
 * LOST: Redis has the client elsewhere; its connections end. What lingers, lingers in Redis.
 */
enum phase { ASKING, MOVING, DECIDING, PLACED, UNSURE, LEAVING, LOST };

/* Where an entry is queued: to be sent now, or when it is its turn to be said again. */
enum queued { QUEUE_NONE, QUEUE_DIRTY, QUEUE_SAID };

/* Nodes are few and their names long. */
struct shared_node {
	char name[STATE_NODE_LEN];
	unsigned users;			/* fields of entries */
	unsigned claims;
	UT_hash_handle hh;
};

/* What is known of a session that lives here, for the other proxies. */
struct shared_fact {
	struct {
		uint64_t session_id;
		struct shared_node *node;
	} key;
	uint8_t sid[NAMES_ID_LEN];
	struct shared_entry *e;		/* the claim of its client */
	uint64_t round;			/* was said in that one */
	enum { FACT_THERE, FACT_LEFT, FACT_OVER } what;
	bool told;			/* Redis may have this, or what was said of it before */
	size_t len;
	TAILQ_ENTRY(shared_fact) entry;
	UT_hash_handle hh;
	uint8_t bytes[];
};

TAILQ_HEAD(shared_facts, shared_fact);

struct shared_entry {
	struct state_key key;
	uint8_t id[NAMES_ID_LEN];
	/* node: where it is; want, home: as it was asked for; next: home before long, or NULL;
	 * to: where it is being moved */
	struct shared_node *node, *want, *home, *next, *to;
	uint64_t made_ms;
	uint64_t said_ms;		/* our clock */
	uint64_t until_ms;		/* the linger time of those that left, our clock */
	uint64_t round, pass;		/* was said, had its home looked at, in these */
	struct record *bad;		/* one in Redis that is to be taken for none */
	unsigned live, answered, firm;	/* connections; that had their answer; that logged on */
	unsigned elsewhere;		/* live through other proxies, when we were told last */
	unsigned linger_ms;
	enum phase phase;
	enum queued queued;
	bool sent;			/* its answer is owed */
	bool dirty;			/* it is to be said */
	bool known;			/* Redis may have us as an owner */
	bool said_exception;
	bool fresh, blind, remote_firm;
	struct state_hold *first;	/* who decides, or moves */
	struct shared_holds waiting;
	struct shared_facts facts;	/* those to be said first */
	TAILQ_ENTRY(shared_entry) entry;
	UT_hash_handle hh;
};

TAILQ_HEAD(entries, shared_entry);

/* Somebody goes through the claims, a few at a time: the next one. */
struct shared_cursor {
	struct shared_entry *next;
	LIST_ENTRY(shared_cursor) entry;
};

/* What others are to be told: a reset, or len bytes that are opaque here. */
struct shared_news {
	STAILQ_ENTRY(shared_news) entry;
	struct state_reset r;
	uint64_t at_ms;
	size_t len;			/* 0: a reset */
	uint8_t bytes[];
};

struct shared {
	pthread_mutex_t lock;
	struct wakes wakes;
	const struct link_conf *link;
	const struct record_seal *seal;
	size_t max;
	struct shared_entry *entries;
	LIST_HEAD(, shared_cursor) cursors;
	struct entries dirty, said;	/* said: by the time of each, more or less */
	struct shared_holds timed;	/* by end_ms */
	struct shared_node *nodes;
	struct exceptions *exceptions;
	struct shared_fact *facts;
	struct queries *queries;
	struct wake *wake;
	shared_home_f home;
	void *home_arg;
	char *out;			/* the keeper's: nodes that take no new clients; or NULL */
	char *next_out;			/* to be taken over by it; or NULL */
	bool online, refusing;
	uint64_t leased_ms;
	uint64_t round, pass;
	size_t unsaid, unlooked;	/* entries of an earlier round, or pass */
	STAILQ_HEAD(, shared_news) news;
	size_t nnews;
	char token[17], tag[NAMES_TAG_LEN + 1], prefix[NAMES_PREFIX_MAX];
	struct faults faults;
	struct shared_stats stats;
};

static inline void
table_lock(struct shared *m)
{
	pthread_mutex_lock(&m->lock);
}

static inline void
table_unlock(struct shared *m)
{
	wakes_unlock(&m->wakes, &m->lock);
}

/* All of these with the lock held. */

/* The node of that name; NULL when memory is out. */
struct shared_node *table_node(struct shared *m, const char *node);
/* *at is sn from now on. A name that nobody uses is forgotten. */
void table_set_name(struct shared *m, struct shared_node **at, struct shared_node *sn);
/* Where e is. */
void table_set_node(struct shared *m, struct shared_entry *e, struct shared_node *sn);

/* NULL: there is no room. */
struct shared_entry *table_entry_new(struct shared *m, const struct state_key *key,
    const uint8_t *id);
void table_entry_free(struct shared *m, struct shared_entry *e);
/* Nothing of x is known any more, or was said. */
void table_fact_free(struct shared *m, struct shared_fact *x);
void table_facts_free(struct shared *m, struct shared_entry *e);
/* e has its place in the queue that it belongs to now, at the end. */
void table_queue(struct shared *m, struct shared_entry *e);

static inline bool
table_stands(const struct shared_entry *e)
{
	return e->phase == PLACED || e->phase == DECIDING;
}

/*
 * What is to be said of e's sessions, at most room of it; *more: not all of that. The caller frees
 * it. NULL: nothing.
 */
struct shared_said *facts_due(struct shared *m, struct shared_entry *e, size_t room, size_t *n,
    bool *more);

/*
 * n of them were said, in that round, and Redis has heard them or has not: of what is over, nothing
 * is known any more once it has.
 */
void facts_done(struct shared *m, struct shared_entry *e, uint64_t round, size_t n, bool heard);

void table_record(const struct shared *m, const struct shared_entry *e, uint64_t when_ms,
    const struct shared_node *sn, struct record *r);
/* The exception that is known of e; NULL: there is none. */
struct shared_node *table_exception(struct shared *m, struct shared_entry *e, uint64_t *when_ms);
/* Without Redis. */
void table_place_blindly(struct shared *m, struct shared_entry *e);
/* Home may be another one for others. */
bool table_disputed(struct shared *m, struct shared_entry *e);

/* What h is told. */
void hold_claim(const struct state_hold *h, struct state_claim *c);
/* h is waited for no longer by whoever it was. */
void hold_unlink(struct shared *m, struct state_hold *h);
void hold_wait(struct shared *m, struct state_hold *h, enum hold_state state);
/* Its thread is told. */
void hold_post(struct shared *m, struct state_hold *h);
void hold_refuse(struct shared *m, struct state_hold *h);
/* h has its answer, where e stands. The first one has to decide before others hear anything. */
void hold_admit(struct shared_entry *e, struct state_hold *h);
/* Those that wait for e to stand are answered, as far as may be. */
void holds_serve(struct shared *m, struct shared_entry *e);
/* Who has decided, or is gone. */
void holds_decided(struct shared *m, struct shared_entry *e);

#endif
