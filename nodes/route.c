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
 */

/* Nodes that one connection tries before it gives up. */
#define TRIES_MAX 8

#define ROUTE_MAGIC 0x726f7574u

struct search {
	struct node *dialled;		/* what the client itself says, or NULL; a reference */
	struct node *wanted;		/* that, or what the hash says; a reference */
	struct node *home;		/* of a shared map: what every proxy chooses; a reference */
	bool wanted_usable;
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
route_key_guid(const struct guid *g)
{
	struct state_key k = { .b = { STATE_KEY_GUID } };

	memcpy(k.b + 1, g->b, sizeof(g->b));
	return k;
}

struct state_key
route_key_addr(const struct addr *a)
{
	struct state_key k = { .b = { STATE_KEY_ADDR } };

	memcpy(k.b + 1, a->b, sizeof(a->b));
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

/*
 * The nodes that may take a new client, as the hash sees them; how many. Those that leave logons
 * without an answer are among them only if the others are none.
 */
static size_t
candidates(struct route *r, struct node *const *all, size_t n, struct node **fit,
    struct place *places)
{
	struct route_env *env = r->env;
	bool shared = env->state->ops->shared;
	uint64_t now = clock_ms();
	size_t k = 0;

	for (int held = 0; held <= 1 && k == 0; held++)
		for (size_t i = 0; i < n; i++) {
			if (!node_takes_new(all[i]) || tried(r->search, all[i]) ||
			    logons_held(all[i], now) != held)
				continue;
			fit[k] = all[i];
			places[k++] = (struct place){
				.hash = keyhash(env->hash, r->key.b, sizeof(r->key.b), all[i]->name,
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
	size_t n = nodes_all(env->nodes, all, POL_NODES_MAX), k;
	struct node *home = env->state->ops->shared ? home_of(all, n, env->hash, &r->key) : NULL;

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

static void
route_arrive(struct route *r, struct node *n, enum counter how)
{
	stats_add(r->env->stats, how, 1);
	r->search->done(r->search->arg, n, 0);
}

/* Clients that name a node mean it; all others are better off where they were. */
static bool
is_dialled(const struct search *s)
{
	return s->wanted_usable && s->wanted == s->dialled;
}

/* The map cannot help: the hash alone gives every proxy the same answer. */
static void
unclaimed(struct route *r)
{
	struct search *s = r->search;

	stats_add(r->env->stats, STAT_claims_refused, 1);
	if (s->wanted_usable)
		route_arrive(r, node_ref(s->wanted),
		    is_dialled(s) ? STAT_placed_dialled : STAT_placed_hash);
	else
		route_fail(r, CLOSE_NO_NODE);
}

/* Nobody lives on n, and it leaves logons without an answer, which the wanted node does not. */
static bool
better(const struct search *s, const struct node *n)
{
	uint64_t now = clock_ms();

	return s->wanted_usable && logons_held(n, now) && !logons_held(s->wanted, now);
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
		if (n != NULL && node_takes_more(n) && !tried(s, n)) {
			route_arrive(r, n, c->blind ? STAT_placed_blind : STAT_placed_claim);
			return;
		}
		if (c->others > 0) {
			why = n != NULL && tried(s, n) ? s->why : CLOSE_CLAIM_ELSEWHERE;
			node_unref(&n);
			route_fail(r, why);
			return;
		}
	}
	if (!is_dialled(s) && n != NULL && node_takes_new(n) && !tried(s, n) && !better(s, n)) {
		route_arrive(r, n, STAT_placed_claim);
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
	r->others = c->others;
	wanted_it = strcmp(c->node, s->wanted->id) == 0;
	if (wanted_it && s->wanted_usable)
		route_arrive(r, node_ref(s->wanted), c->blind ? STAT_placed_blind :
		    !c->fresh ? STAT_placed_claim :
		    is_dialled(s) ? STAT_placed_dialled : STAT_placed_hash);
	else
		claimed_elsewhere(r, c, c->fresh && wanted_it ? NULL :
		    nodes_find(r->env->nodes, c->node));
}

void
route_start(struct route *r, struct route_env *env, const struct state_key *key,
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
	s->done = done;
	s->arg = arg;
	r->search = s;
	choose_wanted(r);
	if (s->wanted == NULL) {
		route_fail(r, CLOSE_NO_NODE);
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

	if (s->ntried == TRIES_MAX || r->hold == NULL) {
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

void
route_firm(struct route *r)
{
	if (r->hold != NULL)
		state_firm(r->env->state, r->hold, r->env->policy->pin_linger);
}

void
route_fini(struct route *r)
{
	if (r->env == NULL)
		return;
	state_release(r->env->state, &r->hold, r->env->policy->pin_linger);
	search_free(&r->search);
	MAGIC_CLEAR(r);
	r->env = NULL;
}
