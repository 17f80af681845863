/* shared.h: what one process knows of a map of claims that proxies share */
#ifndef STATE_SHARED_H
#define STATE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/magic.h"
#include "state/fault.h"
#include "state/names.h"
#include "state/record.h"
#include "state/script.h"
#include "state/state.h"

/*
 * How the map works. The table of this process (shared_table.c) is behind one lock. A claim in it
 * is asked for, moved, said and given up by one message at a time, which the keeper's thread sends
 * on one link (keeper.c, sync.c) and Redis carries out in that order: nothing of this process can
 * overtake anything else of it. Workers decide with the table, and wait for what Redis has to say.
 *
 * What holds:
 *  1. In this process a client is on one node. Whoever joins a claim while it is asked for, moved,
 *     or while its only connection has not yet decided whether to stay, waits for that. Who cannot
 *     wait longer for a decision settles it: the client stays.
 *  2. A claim counts in Redis while the lease of a process that it names does: one lease a process,
 *     renewed every second, over after 5. No claim is renewed. A process that ends says so once.
 *  3. What comes late does nothing: a script is carried out only for the connection that renewed
 *     the lease last, and only while that lasts. What was said on an earlier connection counts
 *     until all of it has been said again, and not at all once the lease was over.
 *  4. Who is known to hold a client keeps it against who is not. Only in young data, where nobody
 *     can be known yet, does the older claim win. Data is young until every proxy has said what it
 *     holds; then all say it again, for whose claim was the younger one is not told.
 *  5. An answer comes within three fifths of link_conf.timeout_ms, of claim and move together. A
 *     claim without answer is placed blindly: where it is known to be an exception, else home. A
 *     move without answer is refused: nobody knows where the client is then. So is a new client
 *     without answer that this proxy would have elsewhere than at home, while the others may
 *     have been told of that and it does not know what they have made of it.
 *     For the same reason no proxy decides about a client that has left a node which takes no
 *     new ones: the script that it asks with replaces the claim.
 *  6. A proxy whose records are of another version than those of the proxies that are there is not
 *     in the map, and refuses clients that it does not know.
 *
 * A process whose lease is over (cut off from Redis, or stopped) keeps its connections, and places
 * new clients blindly. The others may move its clients once those have nothing live with a proxy
 * that has a lease and no linger time. When it comes back, connections of clients that are
 * elsewhere by then end.
 */

struct queries;
struct link_conf;
struct shared;
struct shared_entry;
struct wake;

/* Waits are counted by how long they were: up to shared_wait_us(i), the last without end. */
#define SHARED_WAITS 12
/* 0: no end. */
uint64_t shared_wait_us(size_t i);

/* Counted by all threads. */
struct shared_stats {
	_Atomic uint64_t asked;		/* questions to Redis about claims */
	_Atomic uint64_t known;		/* claims answered from memory: the client is live here */
	_Atomic uint64_t blind;		/* claims answered without Redis */
	_Atomic uint64_t refused;	/* not answered: a move without Redis, another version */
	_Atomic uint64_t wait_us_sum, wait_us_max;	/* for Redis, by new connections */
	_Atomic uint64_t waits;
	_Atomic uint64_t waited[SHARED_WAITS];
	_Atomic uint64_t lost;		/* claims that another proxy's claim took away */
	_Atomic uint64_t commands;	/* sent to Redis, all of them */
	_Atomic uint64_t said;		/* claims, each time again */
	_Atomic int64_t ahead_ms;	/* of Redis' clock over ours; 0: not known */
	_Atomic bool online, refusing;
	_Atomic bool unsure;		/* others may go by our new nodes already, or not yet */
};

/*
 * One a process, used by all threads; one leaf lock, never held over a callback but home(). Borrows
 * conf and seal for good.
 */
struct shared *shared_new(const struct link_conf *conf, const struct record_seal *seal,
    size_t max_claims);
void shared_free(struct shared **m);

/* Constant after shared_new(). */
const struct link_conf *shared_link(const struct shared *m);
const struct record_seal *shared_seal(const struct shared *m);
const char *shared_token(const struct shared *m);	/* of this process, 16 hex digits */
const char *shared_tag(const struct shared *m);		/* of the secret, NAMES_TAG_LEN digits */
/* prefix, what, and id in hex where it is not NULL. */
void shared_key(const struct shared *m, char dst[NAMES_KEY_MAX], const char *what,
    const uint8_t *id);
struct faults *shared_faults(struct shared *m);
struct shared_stats *shared_stats(struct shared *m);
struct queries *shared_queries(struct shared *m);
/* Milliseconds of Redis' clock, or of ours while nothing is known of that. */
uint64_t shared_time(struct shared *m);
/* Of one connection's questions, all in all. */
unsigned shared_budget_ms(const struct shared *m);

TAILQ_HEAD(shared_holds, state_hold);

/* Where a thread hears that holds of its own are answered. */
struct shared_port {
	struct wake *wake;
	struct shared_holds ready;
};

enum hold_state { HOLD_IDLE, HOLD_WAITS, HOLD_MOVES, HOLD_READY };

/* Belongs to a thread; but for MAGIC, m, cb and arg the table's lock guards it. */
struct state_hold {
	MAGIC_MEMBER
	struct shared *m;
	struct shared_port *port;
	struct shared_entry *e;		/* NULL: the map was full */
	state_claim_f cb;
	void *arg;
	TAILQ_ENTRY(state_hold) entry;	/* of those that wait for the entry, or of port->ready */
	TAILQ_ENTRY(state_hold) timed;	/* while it waits or moves */
	uint64_t end_ms;		/* 0: has not waited */
	uint64_t began_us;
	unsigned others;		/* as it was answered */
	enum hold_state state;
	bool answered, firm, fresh, blind, busy;
};

/* NOW: *c has the answer; LATER: shared_next() of the port will have it. */
enum shared_when { SHARED_NOW, SHARED_LATER, SHARED_FULL };

/* h->m and h->port are set; h is in the table until shared_leave(). */
enum shared_when shared_claim(struct state_hold *h, const struct state_key *key, const char *node,
    const char *home, struct state_claim *c);
enum shared_when shared_move(struct state_hold *h, const char *from, const char *to,
    struct state_claim *c);
void shared_settle(struct state_hold *h);
void shared_firm(struct state_hold *h, unsigned linger_ms);
void shared_leave(struct state_hold *h, unsigned linger_ms);
/* As state_fact_put() and state_fact_drop(); how many there are. */
void shared_fact_put(struct state_hold *h, uint64_t session_id, const struct state_fact *f);
void shared_fact_drop(struct shared *m, uint64_t session_id, const char *node, bool over);
size_t shared_facts(struct shared *m);
/* Under which names Redis has that fact: of h's client, of the session. 0, or -1. */
int shared_fact_id(const struct state_hold *h, uint64_t session_id, uint8_t id[NAMES_ID_LEN],
    uint8_t sid[NAMES_ID_LEN]) __attribute__((warn_unused_result));
/* May Redis have facts of h's client: does another proxy hold it, or has anybody logged on here? */
bool shared_fact_likely(const struct state_hold *h);
/* The next that is answered on that port, or NULL. */
struct state_hold *shared_next(struct shared *m, struct shared_port *p, struct state_claim *c);

unsigned shared_clients(struct shared *m, const char *node);
size_t shared_claims(struct shared *m);
void shared_each(struct shared *m, void (*f)(void *arg, const struct state_key *,
    const struct state_claim *, uint64_t left_ms), void *arg);

/* For the keeper's thread. */

/* Facts of sessions that are said in one take, at most. */
#define SHARED_FACTS_MAX 64

/* What is said of a session: what Redis is to have, or len 1: SAID_LEFT, or SAID_OVER. */
struct shared_said {
	uint8_t sid[NAMES_ID_LEN];
	size_t len;
	uint8_t bytes[STATE_NODE_LEN + STATE_FACT_MAX];
};

/* What SYNC is to do about one claim. */
struct shared_op {
	struct shared_entry *e;		/* stays until shared_done() */
	char kind;			/* as in script.h */
	uint8_t id[NAMES_ID_LEN];
	struct record record, other, bad;
	bool exception;
	int64_t stay_ms;		/* -1: none */
	uint64_t deadline_ms;		/* of Redis' clock; 0: none */
	uint64_t round, pass;
	size_t nfacts;
	struct shared_said *facts;	/* freed by shared_done() */
};

/* What became of it: -1: there was no answer. record is as the script had it. */
struct shared_result {
	int how;
	const char *record;
	size_t len;
	unsigned others;
	bool firm;
};

/*
 * Where a client belongs: [0] by what all proxies have in common, [1] by what this one has now, and
 * all may have soon. NULL: nowhere.
 */
typedef void (*shared_home_f)(void *arg, const struct state_key *key, const char *home[2]);

/* wake is called when there is something for shared_take(); NULL: no longer. */
void shared_keep(struct shared *m, struct wake *wake, shared_home_f home, void *arg);
/*
 * online: Redis answers, and we have a lease. refusing: we must not place anybody. Whoever waits is
 * answered when it is over.
 */
void shared_online(struct shared *m, bool online, bool refusing);
/* The lease was renewed by what was sent at ms. */
void shared_leased(struct shared *m, uint64_t ms);
/* Everything is to be said again, in time; shared_all_said() tells when that is done. */
void shared_again(struct shared *m);
bool shared_all_said(struct shared *m);
/*
 * home() has other answers now; every claim is looked at, and shared_rehomed() tells when Redis
 * knows all that are exceptions by either of them. out: the nodes that take no new clients, as all
 * proxies know, each between two line feeds; copied.
 */
void shared_rehome(struct shared *m, const char *out);
bool shared_rehomed(struct shared *m);
/* out, as shared_take() has gone by it last. */
const char *shared_out(const struct shared *m);
/* There are claims that are still to be looked at. */
bool shared_behind(struct shared *m);
/* At most max, the urgent ones first; again: also what is to be said again. */
size_t shared_take(struct shared *m, struct shared_op *ops, size_t max, bool again);
/* True: the claim is lost, *lost names its client. */
bool shared_done(struct shared *m, const struct shared_op *op, const struct shared_result *r,
    struct state_key *lost);
/*
 * Whoever has waited long enough is answered. True: Redis owes one of them its answer. *next_ms is
 * when to look again; 0: nobody waits.
 */
bool shared_expire(struct shared *m, uint64_t *next_ms);

/* Another proxy's exception; record NULL: it has ended. -1: a bad record, or no room. */
int shared_note_exception(struct shared *m, const uint8_t id[NAMES_ID_LEN], const char *record,
    size_t len);
/* Every exception that there is has been noted. */
void shared_swept(struct shared *m);
size_t shared_exceptions(struct shared *m);

/*
 * What other proxies are to be told, once they can be; of much, the newest. They judge what is too
 * old for them.
 */
void shared_put_reset(struct shared *m, const struct state_reset *r);
void shared_put_told(struct shared *m, const void *bytes, size_t len);
/* *len 0: it is a reset; else what shared_put_told() was given. */
bool shared_take_news(struct shared *m, struct state_reset *r, uint8_t bytes[STATE_FACT_MAX],
    size_t *len);

#endif
