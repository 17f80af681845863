/* shared.c: what one process knows of a map of claims that proxies share */
#include "config.h"

#include "state/shared.h"

#include "base/clock.h"
#include "state/exceptions.h"
#include "state/facts.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include <uthash.h>

/*
 *	                 answer: node, since                      assert
 *	join ─► asking ─────────────────────► placed, held ◄──────────────┐
 *	           │ none in time                                         │
 *	           └─────────────────────────► placed, due ───────────────┘
 *
 * An entry lives while a connection of this process does. What lingers, lingers in Redis. The first
 * answer that comes places the client, and binds all that come after: this process never spreads a
 * client over nodes. Where Redis has another node then, shared_asserted() learns who was first.
 */

/* Nodes are few and their names long. */
struct shared_node {
	char name[STATE_NODE_LEN];
	unsigned claims;
	UT_hash_handle hh;
};

struct shared_entry {
	struct state_key key;
	uint8_t id[NAMES_ID_LEN];
	uint64_t gen;
	struct shared_node *node, *home;
	uint64_t made_ms;
	struct record record;		/* len 0: not made yet */
	struct record *bad;		/* one in Redis that is to be taken for none */
	unsigned live, answered, firm;	/* connections; that had their answer; that logged on */
	unsigned linger_ms;
	bool placed;
	bool held;			/* Redis knows that we are an owner */
	bool moving;
	bool remote_firm;
	bool queued;
	bool lost;
	uint64_t due_ms;
	TAILQ_ENTRY(shared_entry) entry;
	UT_hash_handle hh;
};

TAILQ_HEAD(entries, shared_entry);

struct shared {
	pthread_mutex_t lock;
	const struct link_conf *link;
	const struct record_seal *seal;
	size_t max;
	struct shared_entry *entries;
	struct entries soon;		/* to be asserted at once */
	struct entries later;		/* by due_ms */
	struct shared_node *nodes;
	struct exceptions *exceptions;
	struct facts *facts;
	uint64_t next_gen;
	char token[17], prefix[NAMES_PREFIX_MAX];
	struct faults faults;
	struct shared_stats stats;
};

struct shared *
shared_new(const struct link_conf *conf, const struct record_seal *seal, size_t max_claims)
{
	struct shared *m = calloc(1, sizeof(*m));
	uint8_t token[8], tag[NAMES_ID_LEN];
	char hex[NAMES_TAG_LEN + 1];

	if (m == NULL)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	m->link = conf;
	m->seal = seal;
	m->max = max_claims;
	TAILQ_INIT(&m->soon);
	TAILQ_INIT(&m->later);
	m->exceptions = exceptions_new();
	m->facts = facts_new();
	if (m->exceptions == NULL || m->facts == NULL ||
	    getrandom(token, sizeof(token), 0) != sizeof(token) ||
	    record_id(seal, "cluster", "", 0, tag) == -1) {
		shared_free(&m);
		return NULL;
	}
	record_hex(token, sizeof(token), m->token);
	record_hex(tag, NAMES_TAG_LEN / 2, hex);
	snprintf(m->prefix, sizeof(m->prefix), "smbgate:%s:", hex);
	return m;
}

static void
unqueue(struct shared *m, struct shared_entry *e)
{
	if (e->queued)
		TAILQ_REMOVE(e->due_ms == 0 ? &m->soon : &m->later, e, entry);
	e->queued = false;
}

/* ms 0: at once. */
static void
queue(struct shared *m, struct shared_entry *e, uint64_t ms)
{
	unqueue(m, e);
	if (e->lost || !e->placed)
		return;
	e->due_ms = ms == 0 ? 0 : clock_ms() + ms;
	e->queued = true;
	TAILQ_INSERT_TAIL(ms == 0 ? &m->soon : &m->later, e, entry);
}

static struct shared_node *
node_of(struct shared *m, const char *node)
{
	struct shared_node *sn;

	HASH_FIND_STR(m->nodes, node, sn);
	if (sn != NULL)
		return sn;
	sn = calloc(1, sizeof(*sn));
	if (sn == NULL)
		return NULL;
	snprintf(sn->name, sizeof(sn->name), "%s", node);
	HASH_ADD_STR(m->nodes, name, sn);
	return sn;
}

static void
set_node(struct shared_entry *e, struct shared_node *sn)
{
	if (e->node != NULL)
		e->node->claims--;
	e->node = sn;
	sn->claims++;
}

static void
shared_entry_free(struct shared *m, struct shared_entry *e)
{
	unqueue(m, e);
	if (e->node != NULL)
		e->node->claims--;
	HASH_DEL(m->entries, e);
	free(e->bad);
	free(e);
}

void
shared_free(struct shared **mp)
{
	struct shared *m = *mp;
	struct shared_entry *e, *te;
	struct shared_node *sn, *tn;

	if (m == NULL)
		return;
	HASH_ITER(hh, m->entries, e, te)
		shared_entry_free(m, e);
	HASH_ITER(hh, m->nodes, sn, tn) {
		HASH_DEL(m->nodes, sn);
		free(sn);
	}
	exceptions_free(&m->exceptions);
	facts_free(&m->facts);
	pthread_mutex_destroy(&m->lock);
	free(m);
	*mp = NULL;
}

const struct link_conf *
shared_link(const struct shared *m)
{
	return m->link;
}

const struct record_seal *
shared_seal(const struct shared *m)
{
	return m->seal;
}

const char *
shared_token(const struct shared *m)
{
	return m->token;
}

_Static_assert(NAMES_PREFIX_MAX + 4 + NAMES_ID_HEX < NAMES_KEY_MAX, "a key must fit");

void
shared_key(const struct shared *m, char dst[NAMES_KEY_MAX], const char *what, const uint8_t *id)
{
	char *end = stpcpy(stpcpy(dst, m->prefix), what);

	if (id != NULL)
		record_hex(id, NAMES_ID_LEN, end);
}

struct faults *
shared_faults(struct shared *m)
{
	return &m->faults;
}

struct shared_stats *
shared_stats(struct shared *m)
{
	return &m->stats;
}

struct facts *
shared_facts(struct shared *m)
{
	return m->facts;
}

static void
make_record(const struct shared *m, const uint8_t *id, uint64_t when_ms, const char *node,
    struct record *r)
{
	record_make(r, m->seal, "claim", id, NAMES_ID_LEN, when_ms, node);
}

/* The answer for a connection, which counts in e->answered from now on. */
static void
answer_entry(struct shared_entry *e, unsigned elsewhere, bool fresh, bool blind,
    struct state_claim *c)
{
	*c = (struct state_claim){
		.others = e->answered + elsewhere,
		.firm = e->firm > 0 || e->remote_firm,
		.fresh = fresh,
		.blind = blind,
	};
	memcpy(c->node, e->node->name, sizeof(c->node));
	e->answered++;
}

static struct shared_entry *
shared_entry_new(struct shared *m, const struct state_key *key, const uint8_t *id, const char *home,
    uint64_t now_ms)
{
	struct shared_node *sn = node_of(m, home);
	struct shared_entry *e =
	    sn == NULL || HASH_COUNT(m->entries) >= m->max ? NULL : calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->key = *key;
	memcpy(e->id, id, NAMES_ID_LEN);
	e->gen = ++m->next_gen;
	e->home = sn;
	e->made_ms = now_ms;
	HASH_ADD(hh, m->entries, key, sizeof(e->key), e);
	return e;
}

/* What Redis is asked with: an exception that is known keeps its record, and so its age. */
static void
make_request(const struct shared *m, const struct shared_entry *e, const char *node,
    uint64_t now_ms, struct shared_request *q)
{
	char text[STATE_NODE_LEN];
	uint64_t when;

	memcpy(q->id, e->id, NAMES_ID_LEN);
	q->gen = e->gen;
	q->home.len = 0;
	if (exceptions_get(m->exceptions, e->id, &q->record) &&
	    record_get(q->record.bytes, q->record.len, m->seal, "claim", e->id, NAMES_ID_LEN, &when,
	        text) == 0) {
		q->exception = strcmp(text, e->home->name) != 0;
		return;
	}
	q->exception = strcmp(node, e->home->name) != 0;
	make_record(m, e->id, now_ms, node, &q->record);
	if (q->exception)
		make_record(m, e->id, now_ms, e->home->name, &q->home);
}

enum shared_join
shared_join(struct shared *m, const struct state_key *key, const char *node, const char *home,
    uint64_t now_ms, struct shared_entry **ep, struct shared_request *q, struct state_claim *c)
{
	enum shared_join how = SHARED_FULL;
	uint8_t id[NAMES_ID_LEN];
	struct shared_entry *e;

	*ep = NULL;
	if (record_id(m->seal, "client", key->b, sizeof(key->b), id) == -1)
		return SHARED_FULL;
	pthread_mutex_lock(&m->lock);
	HASH_FIND(hh, m->entries, key, sizeof(*key), e);
	if (e == NULL)
		e = shared_entry_new(m, key, id, home, now_ms);
	if (e != NULL) {
		e->live++;
		*ep = e;
		if (e->moving || e->lost) {
			how = SHARED_BUSY;
		} else if (e->placed) {
			answer_entry(e, 0, false, false, c);
			how = SHARED_KNOWN;
		} else {
			make_request(m, e, node, now_ms, q);
			how = SHARED_ASK;
		}
	}
	pthread_mutex_unlock(&m->lock);
	return how;
}

static void
adopt_answer(struct shared *m, struct shared_entry *e, const struct shared_answer *a,
    struct shared_node *sn)
{
	set_node(e, sn);
	e->record = a->record;
	e->made_ms = a->made_ms;
	e->remote_firm = a->firm;
	e->placed = e->held = true;
	queue(m, e, NAMES_REFRESH_MS);
}

void
shared_answered(struct shared *m, struct shared_entry *e, const struct shared_answer *a,
    struct state_claim *c)
{
	struct shared_node *sn;

	pthread_mutex_lock(&m->lock);
	sn = node_of(m, a->node);
	if (!e->placed && sn != NULL) {
		adopt_answer(m, e, a, sn);
		answer_entry(e, a->others, a->fresh, a->blind, c);
	} else {
		/* Another connection has been placed meanwhile: where it is, this one goes. */
		if (!e->placed) {
			set_node(e, e->home);
			e->placed = true;
		}
		if (strcmp(e->node->name, a->node) != 0)
			queue(m, e, 0);
		else
			e->held = true;
		answer_entry(e, a->others, false, false, c);
	}
	pthread_mutex_unlock(&m->lock);
}

void
shared_blind(struct shared *m, struct shared_entry *e, struct state_claim *c)
{
	struct shared_node *sn = NULL;
	char text[STATE_NODE_LEN];
	struct record r;
	bool blind = false;

	pthread_mutex_lock(&m->lock);
	if (!e->placed) {
		if (exceptions_get(m->exceptions, e->id, &r) &&
		    record_get(r.bytes, r.len, m->seal, "claim", e->id, NAMES_ID_LEN, &e->made_ms,
		        text) == 0 &&
		    (sn = node_of(m, text)) != NULL)
			e->record = r;
		set_node(e, sn != NULL ? sn : e->home);
		e->placed = blind = true;
		queue(m, e, 0);
	}
	answer_entry(e, 0, false, blind, c);
	pthread_mutex_unlock(&m->lock);
}

bool
shared_move(struct shared *m, struct shared_entry *e, const char *from, const char *to,
    uint64_t now_ms, struct shared_request *q, struct record *old, struct state_claim *c)
{
	bool go;

	pthread_mutex_lock(&m->lock);
	go = e->answered == 1 && !e->moving && !e->lost && strcmp(e->node->name, from) == 0;
	if (go) {
		e->moving = true;
		*old = e->record;
		memcpy(q->id, e->id, NAMES_ID_LEN);
		q->gen = e->gen;
		q->exception = strcmp(to, e->home->name) != 0;
		q->home.len = 0;
		make_record(m, e->id, now_ms, to, &q->record);
	} else {
		e->answered--;
		answer_entry(e, 0, false, false, c);
	}
	pthread_mutex_unlock(&m->lock);
	return go;
}

void
shared_moved(struct shared *m, struct shared_entry *e, const char *to, const struct record *r,
    const struct shared_answer *a, struct state_claim *c)
{
	struct shared_node *sn;

	pthread_mutex_lock(&m->lock);
	e->moving = false;
	e->answered--;
	sn = node_of(m, a != NULL ? a->node : to);
	if (sn != NULL && a != NULL) {
		adopt_answer(m, e, a, sn);
	} else if (sn != NULL) {
		set_node(e, sn);
		e->record = *r;
		e->held = false;
		queue(m, e, 0);
	}
	answer_entry(e, a == NULL ? 0 : a->others, false, a == NULL, c);
	pthread_mutex_unlock(&m->lock);
}

/* e as it is to be asserted now. */
static void
fill_item(struct shared *m, struct shared_entry *e, struct shared_item *it)
{
	it->key = e->key;
	memcpy(it->id, e->id, NAMES_ID_LEN);
	it->gen = e->gen;
	if (e->record.len == 0)
		make_record(m, e->id, e->made_ms, e->node->name, &e->record);
	it->record = e->record;
	it->bad.len = 0;
	if (e->bad != NULL)
		it->bad = *e->bad;
	it->exception = e->node != e->home;
	it->firm = e->firm > 0;
	it->linger_ms = e->linger_ms;
}

bool
shared_firm(struct shared *m, struct shared_entry *e, unsigned linger_ms, struct shared_item *it)
{
	bool first;

	pthread_mutex_lock(&m->lock);
	first = e->firm++ == 0 && e->placed && !e->lost;
	e->linger_ms = linger_ms;
	if (first) {
		fill_item(m, e, it);
		queue(m, e, NAMES_REFRESH_MS);
	}
	pthread_mutex_unlock(&m->lock);
	return first;
}

bool
shared_leave(struct shared *m, struct shared_entry *e, bool answered, bool firm,
    struct shared_item *it)
{
	bool last = false;

	pthread_mutex_lock(&m->lock);
	assert(e->live > 0);
	if (answered)
		e->answered--;
	if (firm)
		e->firm--;
	if (--e->live == 0) {
		last = e->placed && !e->lost;
		if (last)
			fill_item(m, e, it);
		it->firm = firm;
		it->gen = e->gen;
		memcpy(it->id, e->id, NAMES_ID_LEN);
		last |= !e->lost;
		shared_entry_free(m, e);
	} else if (e->answered == 0) {
		/* Nobody who is left is anywhere yet. */
		e->moving = false;
	}
	pthread_mutex_unlock(&m->lock);
	return last;
}

size_t
shared_due(struct shared *m, struct shared_item *it, size_t max)
{
	uint64_t now = clock_ms();
	struct shared_entry *e;
	size_t n = 0;

	pthread_mutex_lock(&m->lock);
	while (n < max) {
		e = TAILQ_FIRST(&m->soon);
		if (e == NULL) {
			e = TAILQ_FIRST(&m->later);
			if (e == NULL || e->due_ms > now)
				break;
			/* Without a logon a claim gets one lease, and no more. */
			if (e->firm == 0) {
				unqueue(m, e);
				continue;
			}
		}
		fill_item(m, e, &it[n++]);
		queue(m, e, NAMES_REFRESH_MS);
	}
	pthread_mutex_unlock(&m->lock);
	return n;
}

void
shared_all_due(struct shared *m)
{
	struct shared_entry *e, *tmp;

	pthread_mutex_lock(&m->lock);
	HASH_ITER(hh, m->entries, e, tmp)
		if (e->placed)
			queue(m, e, 0);
	pthread_mutex_unlock(&m->lock);
}

static void
note_bad(struct shared *m, struct shared_entry *e, const char *record, size_t len)
{
	fault_add(&m->faults, FAULT_BAD_VALUE);
	if (e->bad == NULL)
		e->bad = calloc(1, sizeof(*e->bad));
	if (e->bad == NULL || len > sizeof(e->bad->bytes))
		return;
	memcpy(e->bad->bytes, record, len);
	e->bad->len = len;
	queue(m, e, 0);
}

bool
shared_asserted(struct shared *m, const struct shared_item *it, int what, const char *record,
    size_t len)
{
	char text[STATE_NODE_LEN];
	struct shared_entry *e;
	bool lost = false;
	uint64_t when;

	pthread_mutex_lock(&m->lock);
	HASH_FIND(hh, m->entries, &it->key, sizeof(it->key), e);
	if (e == NULL || e->gen != it->gen || e->lost || !e->placed) {
		/* Gone meanwhile, or another one. */
	} else if (what == -1) {
		e->held = false;
		queue(m, e, 0);
	} else if (record_get(record, len, m->seal, "claim", e->id, NAMES_ID_LEN, &when,
	               text) == -1) {
		note_bad(m, e, record, len);
	} else if (strcmp(text, e->node->name) == 0) {
		memcpy(e->record.bytes, record, len);
		e->record.len = len;
		e->made_ms = when;
		e->held = true;
		free(e->bad);
		e->bad = NULL;
	} else if (what == 1) {
		lost = e->lost = true;
		unqueue(m, e);
		atomic_fetch_add(&m->stats.lost, 1);
	}
	pthread_mutex_unlock(&m->lock);
	return lost;
}

void
shared_rehome(struct shared *m, const char *(*home)(void *arg, const struct state_key *key),
    void *arg)
{
	struct shared_entry *e, *tmp;

	/* home only computes; it may run under the lock. */
	pthread_mutex_lock(&m->lock);
	HASH_ITER(hh, m->entries, e, tmp) {
		const char *name = home(arg, &e->key);
		struct shared_node *sn = name == NULL ? NULL : node_of(m, name);

		if (sn == NULL || sn == e->home)
			continue;
		e->home = sn;
		if (e->placed)
			queue(m, e, 0);
	}
	pthread_mutex_unlock(&m->lock);
}

unsigned
shared_clients(struct shared *m, const char *node)
{
	struct shared_node *sn;
	unsigned n;

	pthread_mutex_lock(&m->lock);
	HASH_FIND_STR(m->nodes, node, sn);
	n = sn == NULL ? 0 : sn->claims;
	pthread_mutex_unlock(&m->lock);
	return n;
}

size_t
shared_claims(struct shared *m)
{
	size_t n;

	pthread_mutex_lock(&m->lock);
	n = HASH_COUNT(m->entries);
	pthread_mutex_unlock(&m->lock);
	return n;
}

void
shared_each(struct shared *m, void (*f)(void *arg, const struct state_key *,
    const struct state_claim *, uint64_t left_ms), void *arg)
{
	struct copy {
		struct state_key key;
		struct state_claim claim;
	} *all;
	struct shared_entry *e, *tmp;
	size_t n = 0;

	pthread_mutex_lock(&m->lock);
	all = calloc(HASH_COUNT(m->entries) + 1, sizeof(*all));
	if (all != NULL) {
		HASH_ITER(hh, m->entries, e, tmp) {
			if (!e->placed)
				continue;
			all[n].key = e->key;
			all[n].claim.others = e->live;
			all[n].claim.firm = e->firm > 0;
			memcpy(all[n++].claim.node, e->node->name, STATE_NODE_LEN);
		}
	}
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < n; i++)
		f(arg, &all[i].key, &all[i].claim, 0);
	free(all);
}

int
shared_note_exception(struct shared *m, const uint8_t id[NAMES_ID_LEN], const char *record,
    size_t len)
{
	char text[STATE_NODE_LEN];
	uint64_t when;
	int r = 0;

	if (record != NULL &&
	    record_get(record, len, m->seal, "claim", id, NAMES_ID_LEN, &when, text) == -1) {
		fault_add(&m->faults, FAULT_BAD_VALUE);
		return -1;
	}
	pthread_mutex_lock(&m->lock);
	if (record == NULL)
		exceptions_drop(m->exceptions, id);
	else
		r = exceptions_put(m->exceptions, id, record, len);
	pthread_mutex_unlock(&m->lock);
	return r;
}

void
shared_swept(struct shared *m)
{
	pthread_mutex_lock(&m->lock);
	exceptions_swept(m->exceptions);
	pthread_mutex_unlock(&m->lock);
}

size_t
shared_exceptions(struct shared *m)
{
	size_t n;

	pthread_mutex_lock(&m->lock);
	n = exceptions_count(m->exceptions);
	pthread_mutex_unlock(&m->lock);
	return n;
}
