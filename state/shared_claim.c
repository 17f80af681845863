/* shared_claim.c: what workers do with the table of claims that proxies share */
#include "config.h"

#include "state/shared_priv.h"

#include "base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Nobody knows e: Redis is asked, or home has to do. */
static enum shared_when
begin(struct shared *m, struct state_hold *h, const char *node, const char *home,
    struct state_claim *c)
{
	struct shared_entry *e = h->e;
	struct shared_node *want = table_node(m, node), *there = table_node(m, home);

	if (want == NULL || there == NULL || m->refusing) {
		h->busy = true;
		atomic_fetch_add(&m->stats.refused, 1);
		hold_claim(h, c);
		return SHARED_NOW;
	}
	table_set_name(m, &e->want, want);
	table_set_name(m, &e->home, there);
	if (!e->known)
		e->made_ms = shared_time(m);
	e->remote_firm = false;
	if (!m->online && table_disputed(m, e)) {
		h->busy = true;
		atomic_fetch_add(&m->stats.refused, 1);
		hold_claim(h, c);
		return SHARED_NOW;
	}
	if (!m->online) {
		table_place_blindly(m, e);
		hold_admit(e, h);
		hold_claim(h, c);
		return SHARED_NOW;
	}
	e->phase = ASKING;
	hold_wait(m, h, HOLD_WAITS);
	table_queue(m, e);
	return SHARED_LATER;
}

enum shared_when
shared_claim(struct state_hold *h, const struct state_key *key, const char *node, const char *home,
    struct state_claim *c)
{
	enum shared_when when = SHARED_LATER;
	struct shared *m = h->m;
	uint8_t id[NAMES_ID_LEN];
	struct shared_entry *e;

	if (record_id(m->seal, "client", key->b,
	        state_key_cluster(key) == 0 ? STATE_KEY_CLIENT : sizeof(key->b), id) == -1)
		return SHARED_FULL;
	table_lock(m);
	HASH_FIND(hh, m->entries, key, sizeof(*key), e);
	if (e == NULL)
		e = table_entry_new(m, key, id);
	if (e == NULL) {
		table_unlock(m);
		return SHARED_FULL;
	}
	h->e = e;
	e->live++;
	switch (e->phase) {
	case LEAVING:
		when = begin(m, h, node, home, c);
		break;
	case PLACED:
		atomic_fetch_add(&m->stats.known, 1);
		hold_admit(e, h);
		hold_claim(h, c);
		when = SHARED_NOW;
		break;
	case ASKING:
	case MOVING:
	case DECIDING:
		hold_wait(m, h, HOLD_WAITS);
		break;
	case UNSURE:
	case LOST:
		hold_claim(h, c);
		when = SHARED_NOW;
		break;
	}
	table_unlock(m);
	return when;
}

/* Redis has none of it: it is ours alone to move. */
static bool
ours_alone(const struct shared *m, const struct shared_entry *e)
{
	return !e->known || clock_ms() - m->leased_ms > NAMES_LEASE_MS;
}

static void
move_blindly(struct shared *m, struct shared_entry *e, struct shared_node *to)
{
	table_set_node(m, e, to);
	e->made_ms = shared_time(m);
	e->dirty = true;
	table_queue(m, e);
}

enum shared_when
shared_move(struct state_hold *h, const char *from, const char *to, struct state_claim *c)
{
	enum shared_when when = SHARED_NOW;
	struct shared_entry *e = h->e;
	struct shared *m = h->m;
	struct shared_node *sn;

	table_lock(m);
	h->fresh = h->blind = false;
	if (h->answered)
		h->others = e->answered - 1;
	if (!h->answered || e->answered != 1 || !table_stands(e) ||
	    strcmp(e->node->name, from) != 0 || (sn = table_node(m, to)) == NULL) {
		hold_claim(h, c);
	} else if (m->online) {
		table_set_name(m, &e->to, sn);
		e->phase = MOVING;
		e->first = h;
		e->answered--;
		h->answered = false;
		hold_wait(m, h, HOLD_MOVES);
		table_queue(m, e);
		when = SHARED_LATER;
	} else {
		if (ours_alone(m, e))
			move_blindly(m, e, sn);
		else
			h->busy = true;
		h->blind = true;
		hold_claim(h, c);
	}
	table_unlock(m);
	return when;
}

void
shared_settle(struct state_hold *h)
{
	table_lock(h->m);
	h->end_ms = 0;
	if (h->e != NULL && h->e->first == h)
		holds_decided(h->m, h->e);
	table_unlock(h->m);
}

void
shared_firm(struct state_hold *h, unsigned linger_ms)
{
	struct shared_entry *e = h->e;

	table_lock(h->m);
	if (e != NULL && !h->firm) {
		h->firm = true;
		if (e->firm == 0 || e->linger_ms < linger_ms)
			e->linger_ms = linger_ms;
		if (e->firm++ == 0) {
			e->dirty = true;
			table_queue(h->m, e);
		}
	}
	table_unlock(h->m);
}

/* Nobody is left on e. */
static void
left(struct shared *m, struct shared_entry *e)
{
	bool over = (!e->known && e->until_ms <= clock_ms()) || e->phase == LOST ||
	    (!m->online && clock_ms() - m->leased_ms > NAMES_LEASE_MS);

	if (over && !e->sent) {
		table_entry_free(m, e);
		return;
	}
	/* A session without a connection is over. */
	table_facts_free(m, e);
	e->phase = LEAVING;
	e->elsewhere = 0;
	table_queue(m, e);
}

void
shared_leave(struct state_hold *h, unsigned linger_ms)
{
	struct shared_entry *e = h->e;
	struct shared *m = h->m;

	if (e == NULL)
		return;
	table_lock(m);
	assert(e->live > 0);
	hold_unlink(m, h);
	e->live--;
	if (h->answered)
		e->answered--;
	if (h->firm) {
		uint64_t until = clock_ms() + linger_ms;

		e->firm--;
		/* It stays as long as the connection that needs it longest. */
		if (e->until_ms < until)
			e->until_ms = until;
	}
	if (e->first == h)
		holds_decided(m, e);
	if (e->live == 0)
		left(m, e);
	table_unlock(m);
}

uint64_t
shared_wait_us(size_t i)
{
	static const uint64_t us[SHARED_WAITS - 1] = { 500, 1000, 2500, 5000, 10000, 25000, 50000,
		100000, 250000, 500000, 1000000 };

	return i < SHARED_WAITS - 1 ? us[i] : 0;
}

static void
wait_is_over(struct shared_stats *st, uint64_t us)
{
	size_t i = 0;

	while (shared_wait_us(i) != 0 && us > shared_wait_us(i))
		i++;
	st->waited[i]++;
	st->waits++;
	st->wait_us_sum += us;
	if (us > st->wait_us_max)
		st->wait_us_max = us;
}

struct state_hold *
shared_next(struct shared *m, struct shared_port *p, struct state_claim *c)
{
	struct state_hold *h;

	table_lock(m);
	h = TAILQ_FIRST(&p->ready);
	if (h != NULL) {
		hold_unlink(m, h);
		hold_claim(h, c);
		wait_is_over(&m->stats, clock_us() - h->began_us);
	}
	table_unlock(m);
	return h;
}

/* For reports, and what all proxies know. */

unsigned
shared_clients(struct shared *m, const char *node)
{
	struct shared_node *sn;
	unsigned n;

	table_lock(m);
	HASH_FIND_STR(m->nodes, node, sn);
	n = sn == NULL ? 0 : sn->claims;
	table_unlock(m);
	return n;
}

size_t
shared_claims(struct shared *m)
{
	size_t n;

	table_lock(m);
	n = HASH_COUNT(m->entries);
	table_unlock(m);
	return n;
}

/* Claims that are copied out at once, while all workers wait. */
#define EACH_STEP 64

struct copy {
	struct state_key key;
	struct state_claim claim;
};

/* The next few that somebody lives on; how many. */
static size_t
copy_live(struct shared_cursor *k, struct copy some[EACH_STEP])
{
	size_t n = 0;

	for (int looked = 0; k->next != NULL && looked < EACH_STEP; looked++) {
		const struct shared_entry *e = k->next;

		k->next = e->hh.next;
		if (e->node == NULL || e->live == 0)
			continue;
		some[n].key = e->key;
		some[n].claim = (struct state_claim){ .others = e->live, .firm = e->firm > 0 };
		memcpy(some[n++].claim.node, e->node->name, STATE_NODE_LEN);
	}
	return n;
}

void
shared_each(struct shared *m, void (*f)(void *arg, const struct state_key *,
    const struct state_claim *, uint64_t left_ms), void *arg)
{
	struct copy some[EACH_STEP];
	struct shared_cursor k;
	bool more = true;

	table_lock(m);
	k.next = m->entries;
	LIST_INSERT_HEAD(&m->cursors, &k, entry);
	while (more) {
		size_t n = copy_live(&k, some);

		more = k.next != NULL;
		if (!more)
			LIST_REMOVE(&k, entry);
		table_unlock(m);
		for (size_t i = 0; i < n; i++)
			f(arg, &some[i].key, &some[i].claim, 0);
		if (more)
			table_lock(m);
	}
}
