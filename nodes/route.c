/* route.c: choose a connection's node, once, with the map of claims having the last word */
#include "config.h"

#include "nodes/route.h"

#include "auth/keyhash.h"
#include "base/addr.h"
#include "base/clock.h"
#include "base/guid.h"
#include "nodes/home.h"
#include "nodes/logons.h"
#include "nodes/node.h"
#include "nodes/place.h"
#include "policy/policy.h"
#include "stats/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *	hash ──► wanted ──► claim(key, wanted) ──┬─ fresh ───────────────────────────► wanted
 *	                                         ├─ live elsewhere ─► its node, if up, or end
 *	                                         ├─ nobody live ─┬─ its node takes new ─► its node
 *	                                         │               └─ not ──► move(wanted) ─┘ (again)
 *	                                         └─ out of reach ──► home, unless it is down
 *
 * A claim with live connections is never moved: its client would be thrown off its first node. The
 * node that an intercepted client dialled comes before the hash, and before a claim without live
 * connections.
 *
 * All of this is within one cluster, which the key names: a client is never on a node of another.
 *
 * A client without a ClientGuid (SMB1, 2.0.2) has no claim: no node knows it from one connection to
 * the next, so each goes where a new client may. Otherwise everybody behind one address would share
 * a drained node.
 *
 * Nodes need not know the same dialects. Where nobody lives on it, one that has none for the client
 * is passed over.
 */

/* Nodes that one connection tries before it gives up. */
#define TRIES_MAX 8

/* A client that has left nothing at its node may be back at once, and is better off there. */
#define AT_ONCE_MS 5000

#define ROUTE_MAGIC 0x726f7574u

struct search {
	struct node *dialled;		/* what the client itself says, or NULL; a reference */
	struct node *wanted;		/* that, or what the hash says; a reference */
	struct node *home;		/* of a shared map: what every proxy chooses; a reference */
	bool wanted_usable;
	uint64_t salt;			/* without a claim: sets the connection apart, or 0 */
	unsigned moves;
	unsigned ntried;
	enum close_reason why;		/* the last of them was not reached */
	struct node *tried[TRIES_MAX];	/* references */
	route_f done;
	void *arg;
};

static void
search_free(struct search **sp)
{
	struct search *s = *sp;

	if (s == NULL)
		return;
	node_unref(&s->wanted);
	node_unref(&s->home);
	node_unref(&s->dialled);
	while (s->ntried > 0)
		node_unref(&s->tried[--s->ntried]);
	free(s);
	*sp = NULL;
}

struct state_key
route_key_guid(const struct guid *g, uint32_t cluster)
{
	struct state_key k = { .b = { STATE_KEY_GUID } };

	memcpy(k.b + 1, g->b, sizeof(g->b));
	state_key_set_cluster(&k, cluster);
	return k;
}

struct state_key
route_key_addr(const struct addr *a, uint32_t cluster)
{
	struct state_key k = { .b = { STATE_KEY_ADDR } };

	memcpy(k.b + 1, a->b, sizeof(a->b));
	state_key_set_cluster(&k, cluster);
	return k;
}

uint32_t
route_cluster(const struct route *r)
{
	return state_key_cluster(&r->key);
}

static bool
has_claim(const struct route *r)
{
	return r->key.b[0] == STATE_KEY_GUID;
}

/* What the hash is over. */
static struct state_key
hash_key(const struct route *r)
{
	struct state_key k = r->key;
	uint64_t part;

	memcpy(&part, k.b + 1, sizeof(part));
	part ^= r->search->salt;
	memcpy(k.b + 1, &part, sizeof(part));
	return k;
}

static bool
tried(const struct search *s, const struct node *n)
{
	for (unsigned i = 0; i < s->ntried; i++)
		if (s->tried[i] == n)
			return true;
	return false;
}

/* Has it a dialect that the client takes? It may have, as long as it has not said. */
static bool
suits(const struct route *r, const struct node *n)
{
	const uint16_t newest = n->dialect;

	return newest == 0 || newest >= r->oldest;
}

/*
 * The nodes that may take a new client, as the hash sees them; how many. Those that leave logons
 * without an answer are among them only if the others are none, and those without a dialect for the
 * client only if all are such; nor one that other proxies may not have.
 */
static size_t
candidates(struct route *r, struct node *const *all, size_t n, struct node **fit,
    struct place *places)
{
	struct route_env *env = r->env;
	const struct state_key key = hash_key(r);
	bool shared = env->state->ops->shared;
	uint64_t now = clock_ms();
	size_t k = 0;

	for (int rank = 0; rank <= 7 && k == 0; rank++)
		for (size_t i = 0; i < n; i++) {
			if (!node_takes_new(all[i]) || tried(r->search, all[i]) ||
			    4 * (shared && !all[i]->agreed) + 2 * !suits(r, all[i]) +
			    logons_held(all[i], now) != rank)
				continue;
			fit[k] = all[i];
			places[k++] = (struct place){
				.hash = keyhash(env->hash, key.b, STATE_KEY_CLIENT, all[i]->name,
				    strlen(all[i]->name)),
				/* What only this proxy knows would lead the others elsewhere. */
				.weight = shared
				    ? all[i]->weight
				    : node_weight(all[i], env->policy->health.slow_start, now),
				.load = shared ? 0 : state_clients(env->state, all[i]->id),
			};
		}
	return k;
}

/*
 * The node that was dialled, or the hash's choice among the nodes that may take a new client. Where
 * there is none, the first one at all, unusable: the map is asked all the same, the client may be
 * live somewhere.
 */
static void
choose_wanted(struct route *r)
{
	struct route_env *env = r->env;
	struct search *s = r->search;
	struct node *all[POL_NODES_MAX], *fit[POL_NODES_MAX];
	struct place places[POL_NODES_MAX];
	size_t n = nodes_of_cluster(env->nodes, route_cluster(r), all, POL_NODES_MAX), k;
	struct node *home = env->state->ops->shared && has_claim(r)
	    ? home_of(all, n, env->hash, &r->key, false) : NULL;

	node_unref(&s->wanted);
	node_unref(&s->home);
	if (home != NULL)
		s->home = node_ref(home);
	if (s->dialled != NULL && node_takes_new(s->dialled) && !tried(s, s->dialled)) {
		s->wanted = node_ref(s->dialled);
		s->wanted_usable = true;
	} else {
		k = candidates(r, all, n, fit, places);
		s->wanted_usable = k > 0;
		if (k > 0)
			s->wanted = node_ref(fit[place_choose(places, k)]);
		else if (n > 0)
			s->wanted = node_ref(all[0]);
	}
	for (size_t i = 0; i < n; i++)
		node_unref(&all[i]);
}

static void
route_fail(struct route *r, enum close_reason why)
{
	r->search->done(r->search->arg, NULL, why);
}

static const struct {
	enum counter counter;
	const char *word;
} ways[] = {
	[ROUTE_NOWHERE] = { STAT_COUNT, NULL },
	[ROUTE_HASH] = { STAT_placed_hash, "hash" },
	[ROUTE_CLAIM] = { STAT_placed_claim, "claim" },
	[ROUTE_DIALLED] = { STAT_placed_dialled, "dialled" },
	[ROUTE_ADDRESS] = { STAT_placed_hash, "address" },
	[ROUTE_BLIND] = { STAT_placed_blind, "blind" },
};

const char *
route_by_str(enum route_by by)
{
	return ways[by].word;
}

static void
route_arrive(struct route *r, struct node *n, enum route_by by)
{
	r->by = by & 0xf;
	stats_add(r->env->stats, ways[by].counter, 1);
	if (r->hold != NULL)
		state_settle(r->env->state, r->hold);
	r->search->done(r->search->arg, n, 0);
}

/* Clients that name a node mean it; all others are better off where they were. */
static bool
is_dialled(const struct search *s)
{
	return s->wanted_usable && s->wanted == s->dialled;
}

static void
route_wanted(struct route *r)
{
	struct search *s = r->search;

	if (s->wanted_usable)
		route_arrive(r, node_ref(s->wanted),
		    is_dialled(s) ? ROUTE_DIALLED : has_claim(r) ? ROUTE_HASH : ROUTE_ADDRESS);
	else
		route_fail(r, CLOSE_NO_NODE);
}

/* The map cannot help: the hash alone gives every proxy the same answer. */
static void
unclaimed(struct route *r)
{
	stats_add(r->env->stats, STAT_claims_refused, 1);
	route_wanted(r);
}

/*
 * Nobody lives on n, and it leaves logons without an answer, or has no dialect for the client; the
 * wanted node is not like that.
 */
static bool
better(const struct route *r, const struct node *n)
{
	const struct search *s = r->search;
	uint64_t now = clock_ms();

	return s->wanted_usable && ((logons_held(n, now) && !logons_held(s->wanted, now)) ||
	    (!suits(r, n) && suits(r, s->wanted)));
}

static void claimed_cb(void *arg, const struct state_claim *c);

/* The claim names another node than the wanted one, or that cannot be used. */
static void
claimed_elsewhere(struct route *r, const struct state_claim *c, struct node *n)
{
	struct search *s = r->search;
	enum close_reason why;

	/* Blind: the client may be live there through another proxy. */
	if (c->others > 0 || c->blind) {
		if (n != NULL && !tried(s, n) &&
		    (c->others > 0 ? node_takes_more(n) : node_takes_blindly(n))) {
			route_arrive(r, n, c->blind ? ROUTE_BLIND : ROUTE_CLAIM);
			return;
		}
		if (c->others > 0) {
			why = n != NULL && tried(s, n) ? s->why : CLOSE_CLAIM_ELSEWHERE;
			node_unref(&n);
			route_fail(r, why);
			return;
		}
	}
	if (!is_dialled(s) && n != NULL && node_takes_new(n) && !tried(s, n) && !better(r, n)) {
		route_arrive(r, n, ROUTE_CLAIM);
		return;
	}
	node_unref(&n);
	if (!s->wanted_usable || s->moves++ >= TRIES_MAX) {
		route_fail(r, CLOSE_NO_NODE);
		return;
	}
	stats_add(r->env->stats, STAT_claims_moved, 1);
	r->waiting = true;
	state_move(r->env->state, r->hold, c->node, s->wanted->id, claimed_cb, r);
}

static void
claimed_cb(void *arg, const struct state_claim *c)
{
	struct route *r = arg;
	struct search *s;
	struct node *n;
	bool wanted_it;

	MAGIC_CHECK(r, ROUTE_MAGIC);
	s = r->search;
	r->waiting = false;
	if (c == NULL) {
		unclaimed(r);
		return;
	}
	if (c->busy) {
		route_fail(r, CLOSE_CLAIM_ELSEWHERE);
		return;
	}
	r->others = c->others > 0;
	wanted_it = strcmp(c->node, s->wanted->id) == 0;
	n = c->fresh && wanted_it ? NULL : nodes_find(r->env->nodes, c->node);
	if (n != NULL && !node_in_cluster(n, route_cluster(r))) {
		/* It has come to another cluster since. */
		node_unref(&n);
		unclaimed(r);
		return;
	}
	if (wanted_it && s->wanted_usable) {
		node_unref(&n);
		route_arrive(r, node_ref(s->wanted), c->blind ? ROUTE_BLIND :
		    !c->fresh ? ROUTE_CLAIM : is_dialled(s) ? ROUTE_DIALLED : ROUTE_HASH);
	} else {
		claimed_elsewhere(r, c, n);
	}
}

struct node *
route_hash(struct route_env *env, const struct state_key *key)
{
	struct search s = { .wanted = NULL };
	struct route r = { .env = env, .key = *key, .search = &s };

	choose_wanted(&r);
	node_unref(&s.home);
	if (!s.wanted_usable)
		node_unref(&s.wanted);
	return s.wanted;
}

void
route_start(struct route *r, struct route_env *env, const struct state_key *key, uint64_t salt,
    struct node *dialled, route_f done, void *arg)
{
	struct search *s = calloc(1, sizeof(*s));

	MAGIC_SET(r, ROUTE_MAGIC);
	r->env = env;
	r->key = *key;
	if (s == NULL) {
		node_unref(&dialled);
		done(arg, NULL, CLOSE_NO_MEMORY);
		return;
	}
	s->dialled = dialled;
	s->salt = has_claim(r) ? 0 : salt;
	s->done = done;
	s->arg = arg;
	r->search = s;
	choose_wanted(r);
	if (s->wanted == NULL) {
		route_fail(r, CLOSE_NO_NODE);
		return;
	}
	if (!has_claim(r)) {
		route_wanted(r);
		return;
	}
	r->waiting = true;
	state_claim(env->state, key, s->wanted->id, s->home != NULL ? s->home->id : s->wanted->id,
	    claimed_cb, r, &r->hold);
	/* No callback comes without a hold. With one, the search may be over already. */
	if (r->waiting && r->hold == NULL)
		route_fail(r, CLOSE_NO_MEMORY);
}

void
route_again(struct route *r, struct node *failed, enum close_reason why)
{
	struct search *s = r->search;
	struct state_claim now;

	if (s->ntried == TRIES_MAX || (r->hold == NULL && has_claim(r))) {
		route_fail(r, why);
		return;
	}
	s->why = why;
	s->tried[s->ntried++] = node_ref(failed);
	choose_wanted(r);
	if (!s->wanted_usable) {
		route_fail(r, why);
		return;
	}
	if (!has_claim(r)) {
		route_wanted(r);
		return;
	}
	/* As if the map had just answered: state_move() checks all of it again. */
	now = (struct state_claim){ .others = 0 };
	snprintf(now.node, sizeof(now.node), "%s", failed->id);
	claimed_cb(r, &now);
}

void
route_reached(struct route *r)
{
	search_free(&r->search);
}

/*
 * Where the map cannot say, the client lives where it lives. A claim that nobody lives on is of
 * what the client had before.
 */
static void
adopted_cb(void *arg, const struct state_claim *c)
{
	struct route *r = arg;
	struct search *s;

	MAGIC_CHECK(r, ROUTE_MAGIC);
	s = r->search;
	r->waiting = false;
	if (c != NULL && !c->blind && !c->busy && strcmp(c->node, s->wanted->id) != 0) {
		if (c->others == 0 && s->moves++ == 0) {
			r->waiting = true;
			state_move(r->env->state, r->hold, c->node, s->wanted->id, adopted_cb, r);
			return;
		}
		r->elsewhere = true;
	}
	if (c != NULL && r->hold != NULL)
		state_settle(r->env->state, r->hold);
	search_free(&r->search);
}

bool
route_adopt(struct route *r, struct route_env *env, struct node *n)
{
	struct search *s;

	MAGIC_SET(r, ROUTE_MAGIC);
	r->env = env;
	r->traffic = n->traffic;
	if (!has_claim(r))
		return true;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return false;
	s->wanted = node_ref(n);
	r->search = s;
	r->waiting = true;
	state_claim(env->state, &r->key, n->id, n->id, adopted_cb, r, &r->hold);
	if (r->hold == NULL)
		return false;
	route_firm(r);
	return !r->elsewhere;
}

void
route_firm(struct route *r)
{
	if (r->hold != NULL)
		state_firm(r->env->state, r->hold, r->env->policy->pin_linger);
}

void
route_fini(struct route *r, bool may_return)
{
	unsigned linger_ms;

	if (r->env == NULL)
		return;
	linger_ms = r->env->policy->pin_linger;
	if (!may_return && linger_ms > AT_ONCE_MS)
		linger_ms = AT_ONCE_MS;
	state_release(r->env->state, &r->hold, linger_ms);
	search_free(&r->search);
	MAGIC_CLEAR(r);
	r->env = NULL;
}

void
route_depart(struct route *r)
{
	if (r->env == NULL)
		return;
	/* In a shared map the other process' claim may come behind our word that ours is over. */
	state_release(r->env->state, &r->hold, AT_ONCE_MS);
	search_free(&r->search);
	MAGIC_CLEAR(r);
	r->env = NULL;
}
