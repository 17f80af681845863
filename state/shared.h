/* shared.h: what one process knows of a map of claims that proxies share */
#ifndef STATE_SHARED_H
#define STATE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/fault.h"
#include "state/names.h"
#include "state/record.h"
#include "state/state.h"

struct facts;
struct link_conf;
struct shared;
struct shared_entry;

/* Counted by all threads. */
struct shared_stats {
	_Atomic uint64_t asked;		/* questions to Redis about claims */
	_Atomic uint64_t known;		/* claims answered from memory: the client is live here */
	_Atomic uint64_t blind;		/* claims answered without Redis */
	_Atomic uint64_t wait_us_sum, wait_us_max;	/* for Redis, by new connections */
	_Atomic uint64_t waits;
	_Atomic uint64_t lost;		/* claims that another proxy's older claim took away */
	_Atomic uint64_t commands;	/* sent to Redis, all of them */
	_Atomic uint64_t links, links_ready;	/* of the workers */
};

/*
 * One a process, used by all threads; one leaf lock, never held over a callback. Borrows conf and
 * seal for good.
 */
struct shared *shared_new(const struct link_conf *conf, const struct record_seal *seal,
    size_t max_claims);
void shared_free(struct shared **m);

/* Constant after shared_new(). */
const struct link_conf *shared_link(const struct shared *m);
const struct record_seal *shared_seal(const struct shared *m);
const char *shared_token(const struct shared *m);	/* of this process, 16 hex digits */
/* prefix, what, and id in hex where it is not NULL. */
void shared_key(const struct shared *m, char dst[NAMES_KEY_MAX], const char *what,
    const uint8_t *id);
struct faults *shared_faults(struct shared *m);
struct shared_stats *shared_stats(struct shared *m);

/* What Redis is asked about a claim with. */
struct shared_request {
	uint8_t id[NAMES_ID_LEN];
	uint64_t gen;
	struct record record;		/* for the node that is wanted */
	struct record home;		/* for home, where that is another node; else none */
	bool exception;
};

/* What Redis answered: record is good and names node, since made_ms. */
struct shared_answer {
	struct record record;
	char node[STATE_NODE_LEN];
	uint64_t made_ms;
	unsigned others;
	bool firm, fresh, blind;
};

enum shared_join { SHARED_FULL, SHARED_KNOWN, SHARED_BUSY, SHARED_ASK };

/*
 * A connection asks for its client's claim. ASK: this process does not know it yet, Redis is to be
 * asked with *q, and shared_answered() or shared_blind() is next. KNOWN: *c has the answer. BUSY:
 * it is being moved, or lost. now_ms is
 * Redis' time, as near as may be. *e stays until shared_leave(); NULL when FULL.
 */
enum shared_join shared_join(struct shared *m, const struct state_key *key, const char *node,
    const char *home, uint64_t now_ms, struct shared_entry **e, struct shared_request *q,
    struct state_claim *c);
void shared_answered(struct shared *m, struct shared_entry *e, const struct shared_answer *a,
    struct state_claim *c);
void shared_blind(struct shared *m, struct shared_entry *e, struct state_claim *c);

/*
 * false: *c says where the claim stays (another connection lives on it). true: *q is made for `to`
 * and *from is what it must replace; shared_moved() is next.
 */
bool shared_move(struct shared *m, struct shared_entry *e, const char *from, const char *to,
    uint64_t now_ms, struct shared_request *q, struct record *old, struct state_claim *c);
/* a NULL: Redis could not be asked; the claim is moved here, and is asserted later. */
void shared_moved(struct shared *m, struct shared_entry *e, const char *to, const struct record *r,
    const struct shared_answer *a, struct state_claim *c);

/* A claim as it is to be asserted. */
struct shared_item {
	struct state_key key;
	uint8_t id[NAMES_ID_LEN];
	uint64_t gen;
	struct record record, bad;
	bool exception, firm;
	unsigned linger_ms;
};

/* True: the claim has become firm by this; *it is to be asserted. */
bool shared_firm(struct shared *m, struct shared_entry *e, unsigned linger_ms,
    struct shared_item *it);
/* True: that was the last connection; *it is to be released. answered: it had its answer. */
bool shared_leave(struct shared *m, struct shared_entry *e, bool answered, bool firm,
    struct shared_item *it);

/* Items that are to be asserted now, at most max. */
size_t shared_due(struct shared *m, struct shared_item *it, size_t max);
/* From now on all of them are. */
void shared_all_due(struct shared *m);
/*
 * What became of one of them: what and record as the script answered, or -1: there was no answer.
 * True: the claim is lost to the node that record names.
 */
bool shared_asserted(struct shared *m, const struct shared_item *it, int what, const char *record,
    size_t len);
/* Asks home() again for every claim: some are exceptions now, or no longer. It only computes. */
void shared_rehome(struct shared *m, const char *(*home)(void *arg, const struct state_key *key),
    void *arg);

unsigned shared_clients(struct shared *m, const char *node);
size_t shared_claims(struct shared *m);
void shared_each(struct shared *m, void (*f)(void *arg, const struct state_key *,
    const struct state_claim *, uint64_t left_ms), void *arg);

/* Another proxy's exception; record NULL: it has ended. -1: a bad record, or no room. */
int shared_note_exception(struct shared *m, const uint8_t id[NAMES_ID_LEN], const char *record,
    size_t len);
/* Every exception that there is has been noted. */
void shared_swept(struct shared *m);
size_t shared_exceptions(struct shared *m);

/* Of the sessions that live here. */
struct facts *shared_facts(struct shared *m);

#endif
