/* local.c: the map of claims in this process's memory */
#include "config.h"

#include "state/local.h"

#include "state/state.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

/*
 * One mutex guards everything: it is taken once or twice in a connection's life, for a hash
 * lookup, and never held over a callback. Claims that wait for their end are swept as new ones
 * are made, a few at a time, so no timer is needed and no call takes long.
 */

/* Claims looked at by each sweep. */
#define SWEEP_STEP 4

struct load {
	char node[STATE_NODE_LEN];
	unsigned claims;
	UT_hash_handle hh;
};

struct entry {
	struct state_key key;
	struct load *load;	/* whose node this claim names */
	unsigned live;
	bool firm;
	uint64_t until_ms;	/* end of the linger time; meaningful while live == 0 */
	UT_hash_handle hh;
};

struct local_map {
	pthread_mutex_t lock;
	struct entry *entries;
	struct load *loads;
	struct entry *sweep;	/* where the next sweep goes on */
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

static void
local_entry_del(struct local_map *m, struct entry *e)
{
	if (m->sweep == e)
		m->sweep = e->hh.next;
	load_put(m, e->load);
	HASH_DEL(m->entries, e);
	free(e);
}

static bool
local_entry_over(const struct entry *e, uint64_t now)
{
	return e->live == 0 && now >= e->until_ms;
}

static void
local_sweep(struct local_map *m, uint64_t now)
{
	for (int i = 0; i < SWEEP_STEP; i++) {
		struct entry *e = m->sweep != NULL ? m->sweep : m->entries;

		if (e == NULL)
			return;
		m->sweep = e->hh.next;
		if (local_entry_over(e, now))
			local_entry_del(m, e);
	}
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
	now = m->now_ms();
	local_sweep(m, now);
	HASH_FIND(hh, m->entries, key, sizeof(*key), e);
	if (e != NULL && local_entry_over(e, now)) {
		local_entry_del(m, e);
		e = NULL;
	}
	if (e == NULL) {
		e = local_entry_new(m, key, node);
		fresh = true;
	}
	if (e != NULL) {
		entry_claim(e, e->live, fresh, &c);
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
	}
	entry_claim(e, e->live - 1, false, &c);
	pthread_mutex_unlock(&m->lock);
	cb(arg, &c);
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
		now = m->now_ms();
		e->live--;
		if (h->firm)
			e->until_ms = now + linger_ms;
		if (local_entry_over(e, now))
			local_entry_del(m, e);
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
	HASH_FIND_STR(m->loads, node, l);
	n = l == NULL ? 0 : l->claims;
	pthread_mutex_unlock(&m->lock);
	return n;
}

static void
local_each(struct state *s, void (*f)(void *arg, const struct state_key *,
    const struct state_claim *, uint64_t left_ms), void *arg)
{
	struct local_map *m = ((struct local_state *)s)->map;
	struct copy {
		struct state_key key;
		struct state_claim claim;
		uint64_t left_ms;
	} *all;
	struct entry *e, *tmp;
	size_t n = 0;
	uint64_t now;

	/* Copied out first: f is foreign code and the lock is a leaf. */
	pthread_mutex_lock(&m->lock);
	now = m->now_ms();
	all = calloc(HASH_COUNT(m->entries) + 1, sizeof(*all));
	if (all != NULL) {
		HASH_ITER(hh, m->entries, e, tmp) {
			if (local_entry_over(e, now)) {
				local_entry_del(m, e);
				continue;
			}
			all[n].key = e->key;
			entry_claim(e, e->live, false, &all[n].claim);
			all[n++].left_ms = e->live > 0 ? 0 : e->until_ms - now;
		}
	}
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < n; i++)
		f(arg, &all[i].key, &all[i].claim, all[i].left_ms);
	free(all);
}

static void
local_free(struct state *s)
{
	free(s);
}

static const struct state_ops local_ops = {
	.claim = local_claim,
	.move = local_move,
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
	pthread_mutex_destroy(&m->lock);
	free(m);
	*mp = NULL;
}
