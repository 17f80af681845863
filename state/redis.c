/* redis.c: the map of claims in Redis, as one thread has it */
#include "config.h"

#include "state/redis.h"

#include "base/magic.h"
#include "state/queries.h"
#include "state/shared.h"
#include "state/state.h"
#include "state/wake.h"

#include <stdlib.h>
#include <string.h>

#define REDIS_STATE_MAGIC 0x72656469u
#define HOLD_MAGIC 0x686f6c64u

struct redis_state {
	struct state state;
	MAGIC_MEMBER
	struct shared *m;
	struct shared_port port;
	struct queries_port queries;
};

/* Of what has been answered, since the last time, on the keeper's thread or another worker's. */
static void
redis_woken_cb(void *arg)
{
	struct redis_state *s = arg;
	struct state_claim c;
	struct state_hold *h;

	MAGIC_CHECK(s, REDIS_STATE_MAGIC);
	while ((h = shared_next(s->m, &s->port, &c)) != NULL) {
		MAGIC_CHECK(h, HOLD_MAGIC);
		h->cb(h->arg, &c);
	}
	queries_answer(shared_queries(s->m), &s->queries);
}

static void
redis_answer(struct state_hold *h, enum shared_when when, const struct state_claim *c)
{
	if (when != SHARED_LATER)
		h->cb(h->arg, when == SHARED_NOW ? c : NULL);
}

static void
redis_claim(struct state *st, const struct state_key *key, const char *node, const char *home,
    state_claim_f cb, void *arg, struct state_hold **hold_r)
{
	struct redis_state *s = (struct redis_state *)st;
	struct state_hold *h = calloc(1, sizeof(*h));
	struct state_claim c;

	*hold_r = h;
	if (h == NULL)
		return;
	MAGIC_SET(h, HOLD_MAGIC);
	h->m = s->m;
	h->port = &s->port;
	h->cb = cb;
	h->arg = arg;
	redis_answer(h, shared_claim(h, key, node, home, &c), &c);
}

static void
redis_move(struct state_hold *h, const char *from, const char *to, state_claim_f cb, void *arg)
{
	struct state_claim c;

	h->cb = cb;
	h->arg = arg;
	redis_answer(h, h->e == NULL ? SHARED_FULL : shared_move(h, from, to, &c), &c);
}

static void
redis_settle(struct state_hold *h)
{
	shared_settle(h);
}

static void
redis_firm(struct state_hold *h, unsigned linger_ms)
{
	shared_firm(h, linger_ms);
}

static void
redis_release(struct state_hold *h, unsigned linger_ms)
{
	shared_leave(h, linger_ms);
	MAGIC_CLEAR(h);
	free(h);
}

static unsigned
redis_clients(struct state *s, const char *node)
{
	return shared_clients(((struct redis_state *)s)->m, node);
}

static void
redis_each(struct state *s, void (*f)(void *arg, const struct state_key *,
    const struct state_claim *, uint64_t left_ms), void *arg)
{
	shared_each(((struct redis_state *)s)->m, f, arg);
}

static void
redis_fact_put(struct state_hold *h, uint64_t session_id, const struct state_fact *f)
{
	shared_fact_put(h, session_id, f);
}

static void
redis_fact_drop(struct state *s, uint64_t session_id, const char *node, bool over)
{
	shared_fact_drop(((struct redis_state *)s)->m, session_id, node, over);
}

static struct state_query *
redis_fact_ask(struct state *st, const struct state_hold *h, uint64_t source, uint64_t session_id,
    state_fact_f cb, void *arg)
{
	struct redis_state *s = (struct redis_state *)st;
	struct query_about about = { .source = source };

	if (!atomic_load(&shared_stats(s->m)->online) ||
	    shared_fact_id(h, session_id, about.id, about.sid) == -1)
		return NULL;
	about.likely = shared_fact_likely(h);
	return queries_ask(shared_queries(s->m), &s->queries, &about, shared_budget_ms(s->m), cb,
	    arg);
}

static void
redis_reset(struct state *st, const struct state_reset *r)
{
	shared_put_reset(((struct redis_state *)st)->m, r);
}

static void
redis_free(struct state *st)
{
	struct redis_state *s = (struct redis_state *)st;

	wake_free(&s->port.wake);
	MAGIC_CLEAR(s);
	free(s);
}

static void
redis_tell(struct state *st, const void *bytes, size_t len)
{
	shared_put_told(((struct redis_state *)st)->m, bytes, len);
}

static const struct state_ops redis_ops = {
	.shared = true,
	.claim = redis_claim,
	.move = redis_move,
	.settle = redis_settle,
	.firm = redis_firm,
	.release = redis_release,
	.clients = redis_clients,
	.each = redis_each,
	.fact_put = redis_fact_put,
	.fact_drop = redis_fact_drop,
	.fact_ask = redis_fact_ask,
	.fact_forget = queries_unask,
	.reset = redis_reset,
	.tell = redis_tell,
	.free = redis_free,
};

struct state *
redis_state_new(struct event_base *base, struct shared *m)
{
	struct redis_state *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->state.ops = &redis_ops;
	MAGIC_SET(s, REDIS_STATE_MAGIC);
	s->m = m;
	TAILQ_INIT(&s->port.ready);
	TAILQ_INIT(&s->queries.answered);
	if (base != NULL && (s->port.wake = wake_new(base, redis_woken_cb, s)) == NULL) {
		MAGIC_CLEAR(s);
		free(s);
		return NULL;
	}
	s->queries.wake = s->port.wake;
	return &s->state;
}
