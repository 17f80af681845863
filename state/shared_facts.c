/* shared_facts.c: the facts of sessions that live here: each is its client's claim's */
#include "config.h"

#include "state/shared_priv.h"

#include <stdlib.h>
#include <string.h>

/* About half a KiB each. */
#define FACTS_MAX 1000000

int
shared_fact_id(const struct state_hold *h, uint64_t session_id, uint8_t id[NAMES_ID_LEN],
    uint8_t sid[NAMES_ID_LEN])
{
	if (h->e == NULL)
		return -1;
	memcpy(id, h->e->id, NAMES_ID_LEN);
	return record_id(h->m->seal, "session", &session_id, sizeof(session_id), sid);
}

bool
shared_fact_likely(const struct state_hold *h)
{
	bool likely;

	table_lock(h->m);
	likely = h->e != NULL && (h->e->elsewhere > 0 || h->e->firm > 0);
	table_unlock(h->m);
	return likely;
}

static struct shared_fact *
fact_find(struct shared *m, uint64_t session_id, struct shared_node *sn)
{
	struct shared_fact *x, like = { .key = { session_id, sn } };
	uint8_t key[sizeof(like.key)];

	memcpy(key, &like.key, sizeof(key));
	HASH_FIND(hh, m->facts, key, sizeof(key), x);
	return x;
}

/* It is said before what was said. */
static void
fact_hurry(struct shared *m, struct shared_fact *x)
{
	TAILQ_REMOVE(&x->e->facts, x, entry);
	TAILQ_INSERT_HEAD(&x->e->facts, x, entry);
	x->round = 0;
	x->e->dirty = true;
	table_queue(m, x->e);
}

static void
fact_add(struct shared *m, struct shared_fact *x, struct shared_node *sn)
{
	struct shared_fact *old = fact_find(m, x->key.session_id, sn);

	table_set_name(m, &x->key.node, sn);
	if (old != NULL) {
		x->told = old->told;
		table_fact_free(m, old);
	}
	HASH_ADD(hh, m->facts, key, sizeof(x->key), x);
	if (!hash_has(x)) {
		table_set_name(m, &x->key.node, NULL);
		free(x);
		return;
	}
	TAILQ_INSERT_HEAD(&x->e->facts, x, entry);
	fact_hurry(m, x);
}

void
shared_fact_put(struct state_hold *h, uint64_t session_id, const struct state_fact *f)
{
	struct shared_fact *x;
	struct shared_node *sn = NULL;
	struct shared *m = h->m;
	uint8_t id[NAMES_ID_LEN];

	if (f->len == 0 || f->len > STATE_FACT_MAX ||
	    (x = calloc(1, sizeof(*x) + f->len)) == NULL)
		return;
	x->key.session_id = session_id;
	x->e = h->e;
	x->len = f->len;
	memcpy(x->bytes, f->bytes, f->len);
	if (shared_fact_id(h, session_id, id, x->sid) == -1) {
		free(x);
		return;
	}
	table_lock(m);
	if (x->e->phase != LOST && HASH_COUNT(m->facts) < FACTS_MAX)
		sn = table_node(m, f->node);
	if (sn != NULL)
		fact_add(m, x, sn);
	table_unlock(m);
	if (sn == NULL)
		free(x);
}

void
shared_fact_drop(struct shared *m, uint64_t session_id, const char *node, bool over)
{
	struct shared_fact *x = NULL;
	struct shared_node *sn;

	table_lock(m);
	HASH_FIND_STR(m->nodes, node, sn);
	if (sn != NULL)
		x = fact_find(m, session_id, sn);
	/* Nobody can be told, or needs to be: it was never said. */
	if (x != NULL && (!table_stands(x->e) ||
	        (!over && x->what == FACT_THERE && !x->told))) {
		table_fact_free(m, x);
	} else if (x != NULL && (over || x->what == FACT_THERE)) {
		x->what = over ? FACT_OVER : FACT_LEFT;
		fact_hurry(m, x);
	}
	table_unlock(m);
}

size_t
shared_facts(struct shared *m)
{
	size_t n;

	table_lock(m);
	n = HASH_COUNT(m->facts);
	table_unlock(m);
	return n;
}

static void
fact_say(const struct shared_fact *x, struct shared_said *s)
{
	size_t name = strlen(x->key.node->name) + 1;

	memcpy(s->sid, x->sid, NAMES_ID_LEN);
	s->len = 1;
	if (x->what != FACT_THERE) {
		s->bytes[0] = x->what == FACT_OVER ? SAID_OVER : SAID_LEFT;
		return;
	}
	memcpy(s->bytes, x->key.node->name, name);
	memcpy(s->bytes + name, x->bytes, x->len);
	s->len = name + x->len;
}

void
facts_done(struct shared *m, struct shared_entry *e, uint64_t round, size_t n, bool heard)
{
	struct shared_fact *x = TAILQ_LAST(&e->facts, shared_facts), *before;

	/* What was put there or dropped meanwhile stands before them. */
	for (; n > 0 && x != NULL && x->round == round; n--, x = before) {
		before = TAILQ_PREV(x, shared_facts, entry);
		if (!heard)
			fact_hurry(m, x);
		else if (x->what != FACT_THERE)
			table_fact_free(m, x);
	}
}

struct shared_said *
facts_due(struct shared *m, struct shared_entry *e, size_t room, size_t *n, bool *more)
{
	struct shared_fact *x, *next;
	struct shared_said *s = NULL;
	size_t due = 0;

	*n = 0;
	*more = false;
	TAILQ_FOREACH(x, &e->facts, entry) {
		if (x->round == m->round || due > room)
			break;
		due++;
	}
	*more = due > room;
	if (due == 0 || room == 0 || (s = calloc(due, sizeof(*s))) == NULL)
		return NULL;
	for (x = TAILQ_FIRST(&e->facts); *n < due && *n < room; x = next) {
		next = TAILQ_NEXT(x, entry);
		fact_say(x, &s[(*n)++]);
		x->round = m->round;
		x->told = true;
		TAILQ_REMOVE(&e->facts, x, entry);
		TAILQ_INSERT_TAIL(&e->facts, x, entry);
	}
	return s;
}
