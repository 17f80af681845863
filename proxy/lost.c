/* lost.c: a worker's connections of clients that are to end, found over several turns */
#include "config.h"

#include "proxy/lost.h"

#include "base/hash.h"
#include "base/magic.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "state/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <uthash.h>

/*
 * A proxy that was away for long may lose all its clients at once, and an operator may end all of a
 * node's: each of them is not worth a walk of its own over all connections, nor one that others
 * wait for. Those that come during a walk wait for the next one.
 */
#define STEP 256
#define FREE_STEP 4096

#define LOST_MAGIC 0x6c6f7374u

/* In the place of a kind: the number of a connection, whose client has no ClientGuid. */
#define KEY_NUMBER 0xff

struct client {
	struct state_key key;
	uint64_t until_ms;		/* what comes later may be in its right place */
	enum close_reason why;
	UT_hash_handle hh;
};

struct lost {
	MAGIC_MEMBER
	struct conn_env *env;
	struct event *turn;
	struct conn_cursor at;
	struct client *now, *next;	/* of this walk, and of the next one */
	bool numbers, next_numbers;	/* some of these are single connections */
};

static struct state_key
key_number(uint64_t conn_id)
{
	struct state_key k = { .b = { KEY_NUMBER } };

	memcpy(k.b + 1, &conn_id, sizeof(conn_id));
	return k;
}

/* At most max of them; true: all. */
static bool
clients_free(struct client **all, size_t max)
{
	struct client *x;

	while ((x = *all) != NULL && max-- > 0) {
		HASH_DEL(*all, x);
		free(x);
	}
	return *all == NULL;
}

static void
next_turn(struct lost *l)
{
	const struct timeval soon = { 0, 0 };

	event_add(l->turn, &soon);
}

static void
walk_begin(struct lost *l)
{
	l->now = l->next;
	l->next = NULL;
	l->numbers = l->next_numbers;
	l->next_numbers = false;
	l->at.next = TAILQ_FIRST(&l->env->conns);
	LIST_INSERT_HEAD(&l->env->cursors, &l->at, entry);
	next_turn(l);
}

static void
walk_end(struct lost *l)
{
	if (l->now == NULL)
		return;
	LIST_REMOVE(&l->at, entry);
	(void)clients_free(&l->now, SIZE_MAX);
}

static const struct client *
client_of(const struct lost *l, const struct conn *c)
{
	const struct client *x = NULL;
	struct state_key number;

	if (c->route.key.b[0] == STATE_KEY_GUID)
		HASH_FIND(hh, l->now, &c->route.key, sizeof(c->route.key), x);
	if (x == NULL && l->numbers) {
		number = key_number(c->mediate.self.conn_id);
		HASH_FIND(hh, l->now, &number, sizeof(number), x);
	}
	return x;
}

/* A hung node's: those that it serves yet stay, and so does the client on their account. */
static bool
is_lost(const struct conn *c, const struct client *x)
{
	const struct conn_env *env = c->env;

	if (c->accepted_ms > x->until_ms)
		return false;
	return x->why != CLOSE_NODE_HUNG || (c->node != NULL && c->node->health == NODE_HUNG &&
	    (env->now_s - c->side[S2C].heard_s) * UINT64_C(1000) >= env->policy->health.hang);
}

static void
lost_step(struct lost *l, size_t max)
{
	for (; l->at.next != NULL && max > 0; max--) {
		struct conn *c = l->at.next;
		const struct client *x = client_of(l, c);

		l->at.next = conn_next(c);
		if (x != NULL && is_lost(c, x))
			conn_end(c, x->why);
	}
}

static void
lost_turn_cb(evutil_socket_t fd, short what, void *arg)
{
	struct lost *l = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(l, LOST_MAGIC);
	lost_step(l, STEP);
	if (l->at.next != NULL || !clients_free(&l->now, FREE_STEP)) {
		next_turn(l);
		return;
	}
	LIST_REMOVE(&l->at, entry);
	if (l->next != NULL)
		walk_begin(l);
}

int
lost_add(struct lost *l, const struct state_key *client, uint64_t conn_id, uint64_t until_ms,
    enum close_reason why)
{
	const struct state_key key = conn_id != 0 ? key_number(conn_id) : *client;
	struct client *x;

	/* Who is not placed yet has a key of zeros. */
	if (conn_id == 0 && key.b[0] != STATE_KEY_GUID)
		return 0;
	HASH_FIND(hh, l->next, &key, sizeof(key), x);
	if (x == NULL) {
		x = calloc(1, sizeof(*x));
		if (x == NULL)
			return -1;
		x->key = key;
		x->why = why;
		HASH_ADD(hh, l->next, key, sizeof(x->key), x);
		if (!hash_has(x)) {
			free(x);
			return -1;
		}
	}
	if (x->until_ms < until_ms)
		x->until_ms = until_ms;
	if (why != CLOSE_NODE_HUNG)
		x->why = why;
	l->next_numbers |= conn_id != 0;
	if (l->now == NULL)
		walk_begin(l);
	return 0;
}

void
lost_finish(struct lost *l)
{
	while (l->now != NULL) {
		lost_step(l, SIZE_MAX);
		walk_end(l);
		if (l->next != NULL)
			walk_begin(l);
	}
	event_del(l->turn);
}

struct lost *
lost_new(struct conn_env *env)
{
	struct lost *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	MAGIC_SET(l, LOST_MAGIC);
	l->env = env;
	l->turn = evtimer_new(env->base, lost_turn_cb, l);
	if (l->turn == NULL)
		lost_free(&l);
	return l;
}

void
lost_free(struct lost **lp)
{
	struct lost *l = *lp;

	if (l == NULL)
		return;
	walk_end(l);
	(void)clients_free(&l->next, SIZE_MAX);
	if (l->turn != NULL)
		event_free(l->turn);
	MAGIC_CLEAR(l);
	free(l);
	*lp = NULL;
}
