/* shared_table.c: the table of claims that proxies share: its entries, and where each is */
#include "config.h"

#include "state/shared_priv.h"

#include "base/clock.h"
#include "state/exceptions.h"
#include "state/link.h"
#include "state/queries.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Constants, and parts with locks of their own. */

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

const char *
shared_tag(const struct shared *m)
{
	return m->tag;
}

_Static_assert(NAMES_RECORD_MAX == RECORD_MAX, "C and Lua agree on what is too long");
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

struct queries *
shared_queries(struct shared *m)
{
	return m->queries;
}

uint64_t
shared_time(struct shared *m)
{
	int64_t ahead = atomic_load(&m->stats.ahead_ms);
	struct timespec ts;

	if (ahead != 0)
		return (uint64_t)((int64_t)clock_ms() + ahead);
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* On a busy machine a loop is late: not all of what is promised is planned with. */
unsigned
shared_budget_ms(const struct shared *m)
{
	return m->link->timeout_ms * 3 / 5;
}

/* Nodes. */

struct shared_node *
table_node(struct shared *m, const char *node)
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
	if (!hash_has(sn)) {
		free(sn);
		return NULL;
	}
	return sn;
}

/* A name that nobody uses is forgotten. */
void
table_set_name(struct shared *m, struct shared_node **at, struct shared_node *sn)
{
	struct shared_node *old = *at;

	if (sn != NULL)
		sn->users++;
	*at = sn;
	if (old != NULL && --old->users == 0) {
		assert(m->nodes != NULL);
		HASH_DEL(m->nodes, old);
		free(old);
	}
}

void
table_set_node(struct shared *m, struct shared_entry *e, struct shared_node *sn)
{
	if (e->node != NULL)
		e->node->claims--;
	if (sn != NULL)
		sn->claims++;
	table_set_name(m, &e->node, sn);
}

/* Queues of entries. */

void
table_queue(struct shared *m, struct shared_entry *e)
{
	enum queued to = QUEUE_NONE;

	if (e->queued != QUEUE_NONE)
		TAILQ_REMOVE(e->queued == QUEUE_DIRTY ? &m->dirty : &m->said, e, entry);
	if (!e->sent) {
		if (e->phase == ASKING || e->phase == MOVING || e->phase == LEAVING ||
		    (table_stands(e) && e->dirty))
			to = QUEUE_DIRTY;
		else if (table_stands(e))
			to = QUEUE_SAID;
	}
	e->queued = to;
	if (to == QUEUE_NONE)
		return;
	if (to == QUEUE_DIRTY && TAILQ_EMPTY(&m->dirty) && m->online)
		wakes_add(&m->wakes, m->wake);
	TAILQ_INSERT_TAIL(to == QUEUE_DIRTY ? &m->dirty : &m->said, e, entry);
}

struct shared_entry *
table_entry_new(struct shared *m, const struct state_key *key, const uint8_t *id)
{
	struct shared_entry *e =
	    HASH_COUNT(m->entries) >= m->max ? NULL : calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->key = *key;
	memcpy(e->id, id, NAMES_ID_LEN);
	e->phase = LEAVING;
	e->round = m->round;
	e->pass = m->pass;
	TAILQ_INIT(&e->waiting);
	TAILQ_INIT(&e->facts);
	HASH_ADD(hh, m->entries, key, sizeof(e->key), e);
	if (!hash_has(e)) {
		free(e);
		return NULL;
	}
	return e;
}

void
table_fact_free(struct shared *m, struct shared_fact *x)
{
	HASH_DEL(m->facts, x);
	TAILQ_REMOVE(&x->e->facts, x, entry);
	table_set_name(m, &x->key.node, NULL);
	free(x);
}

void
table_facts_free(struct shared *m, struct shared_entry *e)
{
	struct shared_fact *x;

	while ((x = TAILQ_FIRST(&e->facts)) != NULL)
		table_fact_free(m, x);
}

void
table_entry_free(struct shared *m, struct shared_entry *e)
{
	struct shared_cursor *k;

	e->phase = LOST;
	e->sent = false;
	table_queue(m, e);
	table_facts_free(m, e);
	table_set_node(m, e, NULL);
	table_set_name(m, &e->want, NULL);
	table_set_name(m, &e->home, NULL);
	table_set_name(m, &e->next, NULL);
	table_set_name(m, &e->to, NULL);
	m->unsaid -= e->round != m->round;
	m->unlooked -= e->pass != m->pass;
	LIST_FOREACH(k, &m->cursors, entry)
		if (k->next == e)
			k->next = e->hh.next;
	HASH_DEL(m->entries, e);
	free(e->bad);
	free(e);
}

void
table_record(const struct shared *m, const struct shared_entry *e, uint64_t when_ms,
    const struct shared_node *sn, struct record *r)
{
	record_make(r, m->seal, "claim", e->id, NAMES_ID_LEN, when_ms, sn->name);
}

/* The exception that is known of e; NULL: there is none. */
struct shared_node *
table_exception(struct shared *m, struct shared_entry *e, uint64_t *when_ms)
{
	char text[STATE_NODE_LEN];
	struct record r;

	if (!exceptions_get(m->exceptions, e->id, &r) ||
	    record_get(r.bytes, r.len, m->seal, "claim", e->id, NAMES_ID_LEN, when_ms, text) == -1)
		return NULL;
	return table_node(m, text);
}

/* Without Redis. */
void
table_place_blindly(struct shared *m, struct shared_entry *e)
{
	struct shared_node *sn = table_exception(m, e, &e->made_ms);

	/* One that we held when it was left is still there. */
	if (sn == NULL && e->node != NULL)
		sn = e->node;
	table_set_node(m, e, sn != NULL ? sn : e->home);
	e->phase = PLACED;
	e->blind = e->dirty = true;
	e->elsewhere = 0;
	atomic_fetch_add(&m->stats.blind, 1);
	table_queue(m, e);
}

/* Home may be another one for others. */
bool
table_disputed(struct shared *m, struct shared_entry *e)
{
	uint64_t when;

	return m->stats.unsure && e->want != e->home && e->node == NULL &&
	    table_exception(m, e, &when) == NULL;
}

/* All of it. */

struct shared *
shared_new(const struct link_conf *conf, const struct record_seal *seal, size_t max_claims)
{
	struct shared *m = calloc(1, sizeof(*m));
	uint8_t token[8], tag[NAMES_ID_LEN];

	if (m == NULL)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->faults.lock, NULL);
	m->link = conf;
	m->seal = seal;
	m->max = max_claims;
	/* Nothing was said in round 0. */
	m->round = 1;
	TAILQ_INIT(&m->dirty);
	TAILQ_INIT(&m->said);
	TAILQ_INIT(&m->timed);
	STAILQ_INIT(&m->news);
	m->exceptions = exceptions_new();
	m->queries = queries_new();
	if (m->exceptions == NULL || m->queries == NULL ||
	    getrandom(token, sizeof(token), 0) != sizeof(token) ||
	    record_id(seal, "cluster", "", 0, tag) == -1) {
		shared_free(&m);
		return NULL;
	}
	record_hex(token, sizeof(token), m->token);
	record_hex(tag, NAMES_TAG_LEN / 2, m->tag);
	snprintf(m->prefix, sizeof(m->prefix), "smbgate:{map}:%s:", m->tag);
	return m;
}

void
shared_free(struct shared **mp)
{
	struct shared *m = *mp;
	struct shared_entry *e, *te;
	struct shared_node *sn, *tn;
	struct shared_news *x;

	if (m == NULL)
		return;
	HASH_ITER(hh, m->entries, e, te)
		table_entry_free(m, e);
	/* Names that were met, and that no entry came to use. */
	HASH_ITER(hh, m->nodes, sn, tn) {
		HASH_DEL(m->nodes, sn);
		free(sn);
	}
	while ((x = STAILQ_FIRST(&m->news)) != NULL) {
		STAILQ_REMOVE_HEAD(&m->news, entry);
		free(x);
	}
	exceptions_free(&m->exceptions);
	queries_free(&m->queries);
	free(m->out);
	free(m->next_out);
	pthread_mutex_destroy(&m->lock);
	free(m);
	*mp = NULL;
}
