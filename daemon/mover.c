/* mover.c: a client is moved to another node, on an operator's word */
#include "config.h"

#include "daemon/mover.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "daemon/letgo.h"
#include "nodes/home.h"
#include "nodes/node.h"
#include "policy/policy.h"
#include "proxy/parting.h"
#include "state/state.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

/* So many are under way at most; the last of them are remembered, for who asks. */
#define MOVES_MAX 1024
/* A client that comes back faster than its connections end is let be. */
#define MOVE_MS 10000
/* Other proxies may need a moment until their claims are given up. */
#define MOVE_AGAIN_MS 20
/* A worker that is busy for so long may as well have lost the order. */
#define MOVE_ENDED_MS 3000

#define MOVE_MAGIC 0x6d6f7665u

/*
 *	END ─► all workers are done ─► CLAIM ─┬─ nobody is live ─► MOVE ─► moved
 *	 ▲                                     │                     │
 *	 └─────── a bit later ── somebody is, or the map cannot say ◄┘
 *
 * The claim is asked for at once: clients come back within milliseconds, and who comes behind it
 * waits for what becomes of it.
 */
struct move {
	MAGIC_MEMBER
	struct mover *m;
	uint64_t number;
	bool over, moved;
	bool ordered;		/* the workers have not answered yet */
	bool claimed;		/* the claim was answered */
	const char *why;	/* how it stands */
	struct client_ref who;
	struct node *to;	/* a reference while it is not over */
	unsigned linger_ms;
	uint64_t end_ms;
	struct state_hold *hold;
	struct event *again;
};

struct mover {
	struct mover_env env;
	uint64_t last;
	struct move *all[MOVES_MAX];	/* NULL: it has never been used */
};

static void
move_over(struct move *x, bool moved, const char *why)
{
	x->over = true;
	x->ordered = false;
	x->moved = moved;
	x->why = why;
	if (x->hold != NULL && moved)
		state_firm(x->m->env.state, x->hold, x->linger_ms);
	state_release(x->m->env.state, &x->hold, moved ? x->linger_ms : 0);
	if (moved)
		log_about(LOG_LEVEL_INFO, log_of_node(LOG_EVENT_MOVE, x->to->name),
		    "a client was moved to node %s by the operator", x->to->name);
	node_unref(&x->to);
	event_del(x->again);
}

static void
move_in(struct move *x, unsigned ms)
{
	const struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_add(x->again, &tv);
}

static void
moved_cb(void *arg, const struct state_claim *c)
{
	struct move *x = arg;
	const bool unsaid = c == NULL || c->busy || c->blind;

	MAGIC_CHECK(x, MOVE_MAGIC);
	x->claimed = true;
	if (!unsaid && strcmp(c->node, x->to->id) == 0) {
		move_over(x, true, "moved");
	} else if (clock_ms() >= x->end_ms) {
		move_over(x, false, unsaid
		    ? "the map of claims cannot say where it is now"
		    : "its connections do not end, or it comes back too soon");
	} else {
		state_release(x->m->env.state, &x->hold, 0);
		move_in(x, MOVE_AGAIN_MS);
	}
}

static void
move_claimed_cb(void *arg, const struct state_claim *c)
{
	struct move *x = arg;

	MAGIC_CHECK(x, MOVE_MAGIC);
	x->claimed = true;
	/* Nobody else lives with it; the map looks again. */
	if (c != NULL && !c->busy && !c->blind && c->others == 0 &&
	    strcmp(c->node, x->to->id) != 0)
		state_move(x->m->env.state, x->hold, c->node, x->to->id, moved_cb, x);
	else
		moved_cb(x, c);
}

/* Where the client would be without a claim: other proxies are told who is not at home. */
static struct node *
home_of_client(const struct move *x)
{
	const struct mover_env *env = &x->m->env;
	const struct state_key *key = &x->who.key;
	struct node *all[POL_NODES_MAX], *home = NULL;
	size_t n = env->hash == NULL ? 0 :
	    nodes_of_cluster(env->nodes, state_key_cluster(key), all, POL_NODES_MAX);

	if (n > 0)
		home = home_of(all, n, env->hash, key, false);
	home = node_ref(home != NULL ? home : x->to);
	while (n > 0)
		node_unref(&all[--n]);
	return home;
}

static void
move_try(struct move *x)
{
	struct node *home = home_of_client(x);

	x->ordered = x->claimed = false;
	state_claim(x->m->env.state, &x->who.key, x->to->id, home->id, move_claimed_cb, x,
	    &x->hold);
	node_unref(&home);
	/* Where the answer has come already, the hold may be gone again. */
	if (x->hold == NULL && !x->claimed)
		move_over(x, false, "out of memory");
}

static void
ended_cb(void *arg, uint32_t n)
{
	struct move *x = arg;

	(void)n;
	MAGIC_CHECK(x, MOVE_MAGIC);
	if (x->ordered)
		move_try(x);
}

/* Also who has come back meanwhile. */
static void
move_end(struct move *x)
{
	const struct parting p = { .n = 1, .who[0] = x->who };

	x->ordered = true;
	move_in(x, MOVE_ENDED_MS);
	letgo_end(x->m->env.letgo, &p, ended_cb, x);
}

static void
again_cb(evutil_socket_t fd, short what, void *arg)
{
	struct move *x = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(x, MOVE_MAGIC);
	if (x->over || x->hold != NULL)
		return;
	if (x->ordered)
		move_try(x);
	else
		move_end(x);
}

struct mover *
mover_new(const struct mover_env *env)
{
	struct mover *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->env = *env;
	return m;
}

void
mover_free(struct mover **mp)
{
	struct mover *m = *mp;

	if (m == NULL)
		return;
	for (size_t i = 0; i < MOVES_MAX && m->all[i] != NULL; i++) {
		struct move *x = m->all[i];

		state_release(m->env.state, &x->hold, 0);
		node_unref(&x->to);
		event_free(x->again);
		MAGIC_CLEAR(x);
		free(x);
	}
	free(m);
	*mp = NULL;
}

static struct move *
move_new(struct mover *m)
{
	struct move *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	MAGIC_SET(x, MOVE_MAGIC);
	x->m = m;
	x->again = evtimer_new(m->env.base, again_cb, x);
	if (x->again == NULL) {
		free(x);
		return NULL;
	}
	return x;
}

/* One that is free, or the one that has been over for longest. */
static struct move *
take_move(struct mover *m)
{
	struct move *x = NULL;
	size_t i;

	for (i = 0; i < MOVES_MAX && m->all[i] != NULL; i++)
		if (m->all[i]->over && (x == NULL || m->all[i]->number < x->number))
			x = m->all[i];
	if (i < MOVES_MAX)
		m->all[i] = x = move_new(m);
	return x;
}

uint64_t
mover_start(struct mover *m, const struct client_ref *who, struct node *to, unsigned linger_ms)
{
	struct move *x = take_move(m);

	if (x == NULL)
		return 0;
	x->number = ++m->last;
	x->over = x->moved = x->ordered = false;
	x->why = "its connections are ending";
	x->who = *who;
	x->to = node_ref(to);
	x->linger_ms = linger_ms;
	x->end_ms = clock_ms() + MOVE_MS;
	move_end(x);
	return x->number;
}

const char *
mover_how(const struct mover *m, uint64_t number, bool *over, bool *moved)
{
	for (size_t i = 0; i < MOVES_MAX && m->all[i] != NULL; i++) {
		const struct move *x = m->all[i];

		if (x->number != number)
			continue;
		*over = x->over;
		*moved = x->moved;
		return x->why;
	}
	return NULL;
}
