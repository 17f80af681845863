/* local.c: the map of claims in this process's memory */
#include "config.h"

#include "state/local.h"

#include "base/hash.h"
#include "state/state.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <uthash.h>

/*
 * One mutex guards everything: it is taken once or twice in a connection's life, for a hash
 * lookup, and never held over a callback. Claims that wait for their end are in a heap, the first
 * to end on top: every call lets go of those that have ended before it counts anything, so no
 * timer is needed. Not of more than ENDED_STEP, lest it take long; the next call goes on.
 */
#define ENDED_STEP 1000

struct load {
	char node[STATE_NODE_LEN];
	unsigned claims;
	UT_hash_handle hh;
};

struct entry {
	struct state_key key;
	struct load *load;	/* whose node this claim names */
	unsigned live;
	unsigned settled;	/* of these, who goes to the node: the others do not know yet */
	bool firm;
	uint64_t until_ms;	/* end of the linger time, if live connections give up before */
	size_t at;		/* in the heap, counted from 1; 0: it is live */
	UT_hash_handle hh;
};

/* Claims that are copied out at once, while everybody waits. */
#define EACH_STEP 64

/* Somebody goes through the claims, a few at a time: the next one. */
struct cursor {
	struct entry *next;
	LIST_ENTRY(cursor) entry;
};

struct copy {
	struct state_key key;
	struct state_claim claim;
	uint64_t left_ms;
};

struct local_map {
	pthread_mutex_t lock;
	struct entry *entries;
	LIST_HEAD(, cursor) cursors;
	struct load *loads;
	struct entry **ending;	/* the heap, by until_ms; [0] is not used */
	size_t nending, room;
	size_t max;
	uint64_t (*now_ms)(void);
};

struct local_state {
	struct state state;
	struct local_map *map;
};

struct state_hold {
	struct local_map *map;
	struct entry *entry;	/* NULL when the map was full */
	bool settled;
	bool firm;		/* this connection has logged on */
};

static struct load *
load_get(struct local_map *m, const char *node)
{
	struct load *l;

	HASH_FIND_STR(m->loads, node, l);
	if (l != NULL)
		return l;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return NULL;
	snprintf(l->node, sizeof(l->node), "%s", node);
	HASH_ADD_STR(m->loads, node, l);
	if (!hash_has(l)) {
		free(l);
		return NULL;
	}
	return l;
}

static void
load_put(struct local_map *m, struct load *l)
{
	assert(l->claims > 0);
	if (--l->claims == 0) {
		HASH_DEL(m->loads, l);
		free(l);
	}
}

/* e goes to place i, or as far up or down from there as it belongs. */
static void
ending_put(struct local_map *m, size_t i, struct entry *e)
{
	struct entry **h = m->ending;

	for (; i > 1 && e->until_ms < h[i / 2]->until_ms; i /= 2) {
		h[i] = h[i / 2];
		h[i]->at = i;
	}
	for (size_t c; (c = 2 * i) <= m->nending; i = c) {
		if (c < m->nending && h[c + 1]->until_ms < h[c]->until_ms)
			c++;
		if (e->until_ms <= h[c]->until_ms)
			break;
		h[i] = h[c];
		h[i]->at = i;
	}
	h[i] = e;
	e->at = i;
}

/* -1 when memory is out. */
static int
ending_add(struct local_map *m, struct entry *e)
{
	if (m->nending + 2 > m->room) {
		size_t room = m->room == 0 ? 64 : 2 * m->room;
		struct entry **h = realloc(m->ending, room * sizeof(struct entry *));

		if (h == NULL)
			return -1;
		m->ending = h;
		m->room = room;
	}
	ending_put(m, ++m->nending, e);
	return 0;
}

static void
ending_del(struct local_map *m, struct entry *e)
{
	struct entry *last = m->ending[m->nending--];

	if (last != e)
		ending_put(m, e->at, last);
	e->at = 0;
}

static void
local_entry_del(struct local_map *m, struct entry *e)
{
	struct cursor *k;

	if (e->at != 0)
		ending_del(m, e);
	load_put(m, e->load);
	LIST_FOREACH(k, &m->cursors, entry)
		if (k->next == e)
			k->next = e->hh.next;
	HASH_DEL(m->entries, e);
	free(e);
}

/* Lets go of what has ended; the time it is. */
static uint64_t
local_now(struct local_map *m)
{
	const uint64_t now = m->now_ms();

	for (int i = 0; i < ENDED_STEP && m->nending > 0 && m->ending[1]->until_ms <= now; i++)
		local_entry_del(m, m->ending[1]);
	return now;
}

/* Nobody is live on it. */
static void
local_entry_idle(struct local_map *m, struct entry *e, uint64_t now)
{
	if (e->until_ms <= now || ending_add(m, e) == -1)
		local_entry_del(m, e);
}

static struct entry *
local_entry_new(struct local_map *m, const struct state_key *key, const char *node)
{
	struct entry *e;

	if (HASH_COUNT(m->entries) >= m->max)
		return NULL;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->key = *key;
	e->load = load_get(m, node);
	if (e->load == NULL) {
		free(e);
		return NULL;
	}
	e->load->claims++;
	HASH_ADD(hh, m->entries, key, sizeof(e->key), e);
	if (!hash_has(e)) {
		load_put(m, e->load);
		free(e);
		return NULL;
	}
	return e;
}

static void
entry_claim(const struct entry *e, unsigned others, bool fresh, struct state_claim *c)
{
	*c = (struct state_claim){ .others = others, .firm = e->firm, .fresh = fresh };
	memcpy(c->node, e->load->node, sizeof(c->node));
}

static void
local_claim(struct state *s, const struct state_key *key, const char *node, const char *home,
    state_claim_f cb, void *arg, struct state_hold **hold_r)
{
	struct local_map *m = ((struct local_state *)s)->map;
	struct state_hold *h = calloc(1, sizeof(*h));
	struct state_claim c;
	struct entry *e;
	bool fresh = false;
	uint64_t now;

	(void)home;
	*hold_r = h;
	if (h == NULL)
		return;
	h->map = m;
	pthread_mutex_lock(&m->lock);
	now = local_now(m);
	HASH_FIND(hh, m->entries, key, sizeof(*key), e);
	if (e != NULL && e->at != 0 && e->until_ms <= now) {
		local_entry_del(m, e);
		e = NULL;
	}
	if (e == NULL) {
		e = local_entry_new(m, key, node);
		fresh = true;
	}
	if (e != NULL) {
		/* Who has not decided may find that the node takes nobody, and lives nowhere. */
		entry_claim(e, e->settled, fresh, &c);
		if (e->at != 0)
			ending_del(m, e);
		e->live++;
		h->entry = e;
	}
	pthread_mutex_unlock(&m->lock);
	cb(arg, e != NULL ? &c : NULL);
}

static void
local_move(struct state_hold *h, const char *from, const char *to, state_claim_f cb, void *arg)
{
	struct local_map *m = h->map;
	struct entry *e = h->entry;
	struct state_claim c;
	struct load *l;

	if (e == NULL) {
		cb(arg, NULL);
		return;
	}
	pthread_mutex_lock(&m->lock);
	if (e->live == 1 && strcmp(e->load->node, from) == 0 && (l = load_get(m, to)) != NULL) {
		l->claims++;
		load_put(m, e->load);
		e->load = l;
		/* What lingered was about the old node. */
		e->firm = h->firm;
		e->until_ms = 0;
	}
	entry_claim(e, e->live - 1, false, &c);
	pthread_mutex_unlock(&m->lock);
	cb(arg, &c);
}

static void
local_settle(struct state_hold *h)
{
	if (h->entry == NULL || h->settled)
		return;
	pthread_mutex_lock(&h->map->lock);
	h->settled = true;
	h->entry->settled++;
	pthread_mutex_unlock(&h->map->lock);
}

static void
local_firm(struct state_hold *h, unsigned linger_ms)
{
	(void)linger_ms;
	if (h->entry == NULL)
		return;
	pthread_mutex_lock(&h->map->lock);
	h->firm = true;
	h->entry->firm = true;
	pthread_mutex_unlock(&h->map->lock);
}

static void
local_release(struct state_hold *h, unsigned linger_ms)
{
	struct local_map *m = h->map;
	struct entry *e = h->entry;

	if (e != NULL) {
		uint64_t now;

		pthread_mutex_lock(&m->lock);
		now = local_now(m);
		/* It stays as long as the connection that needs it longest. */
		if (h->firm && e->until_ms < now + linger_ms)
			e->until_ms = now + linger_ms;
		e->settled -= h->settled;
		if (--e->live == 0)
			local_entry_idle(m, e, now);
		pthread_mutex_unlock(&m->lock);
	}
	free(h);
}

static unsigned
local_clients(struct state *s, const char *node)
{
	struct local_map *m = ((struct local_state *)s)->map;
	struct load *l;
	unsigned n;

	pthread_mutex_lock(&m->lock);
	local_now(m);
	HASH_FIND_STR(m->loads, node, l);
	n = l == NULL ? 0 : l->claims;
	pthread_mutex_unlock(&m->lock);
	return n;
}

/* The next few that have not ended; how many. */
static size_t
copy_kept(struct local_map *m, struct cursor *k, struct copy some[EACH_STEP])
{
	uint64_t now = local_now(m);
	size_t n = 0;

	for (int looked = 0; k->next != NULL && looked < EACH_STEP; looked++) {
		const struct entry *e = k->next;

		k->next = e->hh.next;
		if (e->at != 0 && e->until_ms <= now)
			continue;
		some[n].key = e->key;
		entry_claim(e, e->live, false, &some[n].claim);
		some[n++].left_ms = e->live > 0 ? 0 : e->until_ms - now;
	}
	return n;
}

static void
local_each(struct state *s, void (*f)(void *arg, const struct state_key *,
    const struct state_claim *, uint64_t left_ms), void *arg)
{
	struct local_map *m = ((struct local_state *)s)->map;
	struct copy some[EACH_STEP];
	struct cursor k;
	bool more = true;

	/* Copied out first: f is foreign code and the lock is a leaf. */
	pthread_mutex_lock(&m->lock);
	k.next = m->entries;
	LIST_INSERT_HEAD(&m->cursors, &k, entry);
	while (more) {
		size_t n = copy_kept(m, &k, some);

		more = k.next != NULL;
		if (!more)
			LIST_REMOVE(&k, entry);
		pthread_mutex_unlock(&m->lock);
		for (size_t i = 0; i < n; i++)
			f(arg, &some[i].key, &some[i].claim, some[i].left_ms);
		if (more)
			pthread_mutex_lock(&m->lock);
	}
}

static void
local_free(struct state *s)
{
	free(s);
}

static const struct state_ops local_ops = {
	.claim = local_claim,
	.move = local_move,
	.settle = local_settle,
	.firm = local_firm,
	.release = local_release,
	.clients = local_clients,
	.each = local_each,
	.free = local_free,
};

struct state *
local_state_new(struct local_map *m)
{
	struct local_state *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->state.ops = &local_ops;
	s->map = m;
	return &s->state;
}

struct local_map *
local_map_new(size_t max_claims, uint64_t (*now_ms)(void))
{
	struct local_map *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	m->max = max_claims;
	m->now_ms = now_ms;
	return m;
}

void
local_map_free(struct local_map **mp)
{
	struct local_map *m = *mp;
	struct entry *e, *tmp;

	if (m == NULL)
		return;
	HASH_ITER(hh, m->entries, e, tmp)
		local_entry_del(m, e);
	free(m->ending);
	pthread_mutex_destroy(&m->lock);
	free(m);
	*mp = NULL;
}
