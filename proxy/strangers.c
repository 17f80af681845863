/* strangers.c: what connections without a logon have one worker keep, and which end for it */
#include "config.h"

#include "proxy/strangers.h"

#include "base/magic.h"
#include "inspect/mediate.h"
#include "policy/policy.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/limits.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <event2/event.h>

#define STRANGERS_MAGIC 0x57a46e45u

/* Of a connection that keeps something. */
struct keeping {
	TAILQ_ENTRY(keeping) entry;
	struct conn *conn;
	size_t bytes;
};

struct strangers {
	MAGIC_MEMBER
	struct conn_env *env;
	struct event *over;		/* made active when the share is used up */
	_Atomic size_t bytes;		/* of all in the list; written by the worker alone */
	TAILQ_HEAD(keeping_list, keeping) list;	/* those that have kept something longest first */
};

static size_t
share(const struct strangers *s)
{
	/* As many workers count. */
	uint64_t n = s->env->policy->limits.unauthenticated_memory / s->env->id_step;

	return n > STRANGERS_SHARE_MIN ? n : STRANGERS_SHARE_MIN;
}

/* As much as it has allocated, not as much as of that is filled. */
static size_t
kept(const struct conn *c)
{
	const struct side *c2s = &c->side[C2S], *s2c = &c->side[S2C];
	size_t n = buf_size(&c2s->pump.in) + buf_size(&s2c->pump.in) + buf_size(&c->replay) +
	    mediate_size(&c->mediate);

	/* A guest's files are bytes like a user's. */
	if (c->standing == STANDING_STRANGER)
		n += buf_size(&c2s->out) + buf_size(&s2c->out);
	return n;
}

static void
keeping_set(struct strangers *s, struct keeping *k, size_t n)
{
	atomic_store_explicit(&s->bytes, s->bytes + n - k->bytes, memory_order_relaxed);
	k->bytes = n;
}

static void
keeping_end(struct strangers *s, struct keeping **kp)
{
	struct keeping *k = *kp;

	if (k == NULL)
		return;
	keeping_set(s, k, 0);
	TAILQ_REMOVE(&s->list, k, entry);
	free(k);
	*kp = NULL;
}

/* The common case, found out cheaply: this is asked at every step. */
static bool
keeps_nothing(const struct conn *c)
{
	const struct side *c2s = &c->side[C2S], *s2c = &c->side[S2C];

	return c->mediate.logons.n == 0 && c->mediate.track.pending_cap == 0 &&
	    c2s->pump.in.mem == NULL && s2c->pump.in.mem == NULL && c->replay.mem == NULL &&
	    c2s->out.mem == NULL && s2c->out.mem == NULL;
}

void
strangers_note(struct conn *c)
{
	struct strangers *s;
	bool counts;
	size_t n;

	if (c->keeping == NULL && keeps_nothing(c))
		return;
	s = c->env->strangers;
	counts = c->standing == STANDING_STRANGER || c->standing == STANDING_GUEST;
	n = counts ? kept(c) : 0;
	if (n == 0) {
		keeping_end(s, &c->keeping);
		return;
	}
	if (c->keeping == NULL) {
		/* Without memory for this, the connection will fail for want of its own. */
		c->keeping = calloc(1, sizeof(*c->keeping));
		if (c->keeping == NULL)
			return;
		c->keeping->conn = c;
		TAILQ_INSERT_TAIL(&s->list, c->keeping, entry);
	}
	keeping_set(s, c->keeping, n);
	if (s->bytes > share(s)) {
		s->env->strangers_over = true;
		event_active(s->over, EV_TIMEOUT, 0);
	}
}

static size_t
keeping_most(const struct strangers *s)
{
	const struct keeping *k;
	size_t most = 0;

	TAILQ_FOREACH(k, &s->list, entry)
		if (k->bytes > most)
			most = k->bytes;
	return most;
}

/* Two looks at all of them end at least those that keep more than half of what any does. */
void
strangers_settle(struct strangers *s)
{
	const size_t enough = share(s) - share(s) / 4;
	struct keeping *k, *next;

	s->env->strangers_over = false;
	while (s->bytes > enough) {
		const size_t most = keeping_most(s);

		for (k = TAILQ_FIRST(&s->list); k != NULL && s->bytes > enough; k = next) {
			next = TAILQ_NEXT(k, entry);
			if (k->bytes > most / 2)
				s->env->ops->kill(k->conn, CLOSE_UNAUTH_MEMORY);
		}
	}
}

static void
strangers_over_cb(evutil_socket_t fd, short what, void *arg)
{
	struct strangers *s = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(s, STRANGERS_MAGIC);
	strangers_settle(s);
}

struct strangers *
strangers_new(struct conn_env *env)
{
	struct strangers *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	MAGIC_SET(s, STRANGERS_MAGIC);
	s->env = env;
	TAILQ_INIT(&s->list);
	s->over = event_new(env->base, -1, 0, strangers_over_cb, s);
	if (s->over == NULL)
		strangers_free(&s);
	return s;
}

void
strangers_free(struct strangers **sp)
{
	struct strangers *s = *sp;

	if (s == NULL)
		return;
	if (s->over != NULL)
		event_free(s->over);
	MAGIC_CLEAR(s);
	free(s);
	*sp = NULL;
}

size_t
strangers_bytes(const struct strangers *s)
{
	return atomic_load_explicit(&s->bytes, memory_order_relaxed);
}
