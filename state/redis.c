/* redis.c: the map of claims in Redis, shared by several proxies */
#include "config.h"

#include "state/redis.h"

#include "base/clock.h"
#include "base/magic.h"
#include "state/command.h"
#include "state/facts.h"
#include "state/link.h"
#include "state/reply.h"
#include "state/shared.h"
#include "state/state.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>

/*
 * A connection that has to wait gets a timer of its own, and all it does together has that long.
 * The first that runs out ends the link: whoever waits besides is answered too, and nobody waits
 * again before Redis has shown, to link.c alone, that it answers.
 */

/* Of the timeout that is promised: on a busy machine the loop is late. */
#define BUDGET(timeout_ms) ((timeout_ms) * 3 / 5)

#define REDIS_STATE_MAGIC 0x72656469u
#define HOLD_MAGIC 0x686f6c64u

struct redis_state {
	struct state state;
	MAGIC_MEMBER
	struct shared *m;
	struct event_base *base;
	struct link *link;
};

struct state_hold {
	MAGIC_MEMBER
	struct redis_state *s;
	struct shared_entry *e;		/* NULL: the map was full */
	bool answered, firm;
	bool moving;			/* it is a MOVE that is waited for */
	bool again;			/* asked a second time, for a bad value */
	uint64_t number;		/* of the question; 0: none */
	uint64_t end_ms, began_us;
	struct event timer;
	state_claim_f cb;
	void *arg;
	struct shared_request request;
	struct record old;
	char to[STATE_NODE_LEN];
	unsigned linger_ms;
};

static void
count_wait(struct state_hold *h)
{
	struct shared_stats *st = shared_stats(h->s->m);
	uint64_t us = clock_us() - h->began_us, max = atomic_load(&st->wait_us_max);

	atomic_fetch_add(&st->waits, 1);
	atomic_fetch_add(&st->wait_us_sum, us);
	while (us > max && !atomic_compare_exchange_weak(&st->wait_us_max, &max, us))
		;
}

/* Nothing is waited for any more. */
static void
stop_waiting(struct state_hold *h)
{
	if (h->number == 0)
		return;
	link_forget(h->s->link, h->number);
	h->number = 0;
	event_del(&h->timer);
	count_wait(h);
}

static void
hold_answer(struct state_hold *h, const struct state_claim *c)
{
	h->answered = true;
	h->cb(h->arg, c);
}

/* Without Redis. */
static void
answer_blind(struct state_hold *h)
{
	struct state_claim c;

	atomic_fetch_add(&shared_stats(h->s->m)->blind, 1);
	if (h->moving) {
		h->moving = false;
		shared_moved(h->s->m, h->e, h->to, &h->request.record, NULL, &c);
	} else {
		shared_blind(h->s->m, h->e, &c);
	}
	hold_answer(h, &c);
}

static void
hold_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct state_hold *h = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HOLD_MAGIC);
	/* h is one of those that get their NULL. */
	link_fail(h->s->link, FAULT_TIMEOUT);
}

static void hold_answered_cb(void *arg, const struct redisReply *r);

/* False: it cannot be asked. */
static bool
hold_ask(struct state_hold *h, const struct record *bad)
{
	struct redis_state *s = h->s;
	uint64_t now = clock_ms(), deadline;

	if (!link_ready(s->link) || now >= h->end_ms)
		return false;
	deadline = command_time(s->link) + (h->end_ms - now);
	if (h->moving)
		h->number = command_move(s->link, s->m, &h->request, &h->old,
		    h->firm ? (int64_t)h->linger_ms : -1, deadline, hold_answered_cb, h);
	else
		h->number = command_claim(s->link, s->m, &h->request, bad, deadline,
		    hold_answered_cb, h);
	if (h->number == 0)
		return false;
	atomic_fetch_add(&shared_stats(s->m)->asked, 1);
	return true;
}

static void
hold_set_timer(struct state_hold *h)
{
	unsigned ms = BUDGET(shared_link(h->s->m)->timeout_ms);
	const struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	h->end_ms = clock_ms() + ms;
	h->began_us = clock_us();
	evtimer_assign(&h->timer, h->s->base, hold_timer_cb, h);
	event_add(&h->timer, &tv);
}

static void
hold_answered_cb(void *arg, const struct redisReply *r)
{
	struct state_hold *h = arg;
	enum command_result how = COMMAND_LATE;
	struct redis_state *s;
	struct shared_answer a;
	struct state_claim c;
	struct record bad;

	MAGIC_CHECK(h, HOLD_MAGIC);
	s = h->s;
	h->number = 0;
	if (r != NULL)
		how = command_answer(s->link, s->m, &h->request, r, &a, &bad);
	if (how == COMMAND_BAD_VALUE && !h->moving && !h->again && bad.len > 0) {
		h->again = true;
		if (hold_ask(h, &bad))
			return;
	}
	event_del(&h->timer);
	count_wait(h);
	if (how != COMMAND_GOOD) {
		answer_blind(h);
		/* h may be gone. */
		if (how == COMMAND_NONSENSE)
			link_fail(s->link, FAULT_PROTOCOL);
		return;
	}
	if (h->moving) {
		h->moving = false;
		shared_moved(s->m, h->e, h->to, NULL, &a, &c);
	} else {
		shared_answered(s->m, h->e, &a, &c);
	}
	hold_answer(h, &c);
}

static void
redis_claim(struct state *st, const struct state_key *key, const char *node, const char *home,
    state_claim_f cb, void *arg, struct state_hold **hold_r)
{
	static const struct record none = { .len = 0 };
	struct redis_state *s = (struct redis_state *)st;
	struct state_hold *h = calloc(1, sizeof(*h));
	struct state_claim c;

	*hold_r = h;
	if (h == NULL)
		return;
	MAGIC_SET(h, HOLD_MAGIC);
	h->s = s;
	h->cb = cb;
	h->arg = arg;
	switch (shared_join(s->m, key, node, home, command_time(s->link), &h->e, &h->request, &c)) {
	case SHARED_FULL:
		cb(arg, NULL);
		return;
	case SHARED_KNOWN:
		atomic_fetch_add(&shared_stats(s->m)->known, 1);
		hold_answer(h, &c);
		return;
	case SHARED_BUSY:
		c = (struct state_claim){ .busy = true };
		cb(arg, &c);
		return;
	case SHARED_ASK:
		break;
	}
	hold_set_timer(h);
	if (hold_ask(h, &none))
		return;
	event_del(&h->timer);
	answer_blind(h);
}

static void
redis_move(struct state_hold *h, const char *from, const char *to, state_claim_f cb, void *arg)
{
	struct redis_state *s = h->s;
	struct state_claim c;

	if (h->e == NULL || !h->answered) {
		cb(arg, NULL);
		return;
	}
	h->cb = cb;
	h->arg = arg;
	if (!shared_move(s->m, h->e, from, to, command_time(s->link), &h->request, &h->old, &c)) {
		hold_answer(h, &c);
		return;
	}
	strncpy(h->to, to, sizeof(h->to) - 1);
	h->moving = true;
	hold_set_timer(h);
	if (hold_ask(h, NULL))
		return;
	event_del(&h->timer);
	answer_blind(h);
}

/* A claim has become firm, and Redis is to know it. */
#define ASSERTION_MAGIC 0x61737365u

struct assertion {
	MAGIC_MEMBER
	struct redis_state *s;
	struct shared_item item;
};

static void
ignore_lost(void *arg, const struct state_key *key)
{
	(void)arg;
	(void)key;
}

static void
firm_asserted_cb(void *arg, const struct redisReply *r)
{
	struct assertion *x = arg;

	MAGIC_CHECK(x, ASSERTION_MAGIC);
	/* Whatever is not as it should be is left to the keeper, which asserts it again. */
	if (r == NULL || reply_elements(r) != 2 || reply_number(reply_array(r, 1), 0) != WHAT_HELD)
		(void)shared_asserted(x->s->m, &x->item, -1, NULL, 0);
	else
		command_asserted(x->s->link, x->s->m, &x->item, 1, r, ignore_lost, NULL);
	MAGIC_CLEAR(x);
	free(x);
}

static void
redis_firm(struct state_hold *h, unsigned linger_ms)
{
	struct redis_state *s = h->s;
	struct assertion *x;

	if (h->e == NULL || h->firm)
		return;
	h->firm = true;
	h->linger_ms = linger_ms;
	x = malloc(sizeof(*x));
	if (x == NULL)
		return;
	MAGIC_SET(x, ASSERTION_MAGIC);
	x->s = s;
	if (!shared_firm(s->m, h->e, linger_ms, &x->item)) {
		free(x);
		return;
	}
	if (command_assert(s->link, s->m, &x->item, 1, firm_asserted_cb, x) == 0) {
		(void)shared_asserted(s->m, &x->item, -1, NULL, 0);
		free(x);
	}
}

static void
redis_release(struct state_hold *h, unsigned linger_ms)
{
	struct redis_state *s = h->s;
	struct shared_item it;

	stop_waiting(h);
	if (h->e != NULL && shared_leave(s->m, h->e, h->answered, h->firm, &it))
		command_release(s->link, s->m, &it, h->firm ? (int64_t)linger_ms : -1);
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

/* Facts. */

#define QUERY_MAGIC 0x71756572u

struct state_query {
	MAGIC_MEMBER
	struct redis_state *s;
	uint64_t number;
	struct event timer;
	state_facts_f cb;
	void *arg;
};

static int
session_name(const struct redis_state *s, uint64_t session_id, uint8_t sid[NAMES_ID_LEN])
{
	return record_id(shared_seal(s->m), "session", &session_id, sizeof(session_id), sid);
}

static void
redis_fact_put(struct state *st, uint64_t session_id, const struct state_fact *f)
{
	struct redis_state *s = (struct redis_state *)st;
	struct facts_item it = { .len = f->len };

	if (f->len > sizeof(it.bytes) || session_name(s, session_id, it.sid) == -1)
		return;
	memcpy(it.node, f->node, sizeof(it.node));
	memcpy(it.bytes, f->bytes, f->len);
	if (facts_put(shared_facts(s->m), &it) == 0)
		command_facts(s->link, s->m, &it, 1, NULL, NULL);
	explicit_bzero(&it, sizeof(it));
}

static void
redis_fact_drop(struct state *st, uint64_t session_id, const char *node)
{
	struct redis_state *s = (struct redis_state *)st;
	char key[NAMES_KEY_MAX];
	const char *argv[] = { "HDEL", key, node };
	uint8_t sid[NAMES_ID_LEN];

	if (session_name(s, session_id, sid) == -1 || !facts_drop(shared_facts(s->m), sid, node))
		return;
	shared_key(s->m, key, "s:", sid);
	atomic_fetch_add(&shared_stats(s->m)->commands, 1);
	link_ask(s->link, 3, argv, NULL, NULL, NULL);
}

static void
query_answered_cb(void *arg, const struct redisReply *r)
{
	struct state_query *q = arg;
	struct state_fact facts[STATE_FACTS_MAX];
	size_t n = 0;

	MAGIC_CHECK(q, QUERY_MAGIC);
	event_del(&q->timer);
	for (size_t i = 0; i + 1 < reply_elements(r) && n < STATE_FACTS_MAX; i += 2) {
		size_t name_len, len;
		const char *name = reply_string(r, i, &name_len);
		const char *bytes = reply_string(r, i + 1, &len);

		if (name == NULL || bytes == NULL || name_len >= STATE_NODE_LEN ||
		    len > STATE_FACT_MAX)
			continue;
		memcpy(facts[n].node, name, name_len);
		facts[n].node[name_len] = '\0';
		facts[n].bytes = bytes;
		facts[n++].len = len;
	}
	q->cb(q->arg, facts, n);
	MAGIC_CLEAR(q);
	free(q);
}

static void
query_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct state_query *q = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(q, QUERY_MAGIC);
	link_fail(q->s->link, FAULT_TIMEOUT);
}

static struct state_query *
redis_fact_ask(struct state *st, uint64_t session_id, state_facts_f cb, void *arg)
{
	struct redis_state *s = (struct redis_state *)st;
	unsigned ms = BUDGET(shared_link(s->m)->timeout_ms);
	const struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };
	struct state_query *q = calloc(1, sizeof(*q));
	char key[NAMES_KEY_MAX];
	const char *argv[] = { "HGETALL", key };
	uint8_t sid[NAMES_ID_LEN];

	if (q == NULL || session_name(s, session_id, sid) == -1) {
		free(q);
		return NULL;
	}
	shared_key(s->m, key, "s:", sid);
	MAGIC_SET(q, QUERY_MAGIC);
	q->s = s;
	q->cb = cb;
	q->arg = arg;
	q->number = link_ask(s->link, 2, argv, NULL, query_answered_cb, q);
	if (q->number == 0) {
		free(q);
		return NULL;
	}
	atomic_fetch_add(&shared_stats(s->m)->commands, 1);
	evtimer_assign(&q->timer, s->base, query_timer_cb, q);
	event_add(&q->timer, &tv);
	return q;
}

static void
redis_fact_forget(struct state_query *q)
{
	link_forget(q->s->link, q->number);
	event_del(&q->timer);
	MAGIC_CLEAR(q);
	free(q);
}

static void
redis_free(struct state *st)
{
	struct redis_state *s = (struct redis_state *)st;

	link_free(&s->link);
	MAGIC_CLEAR(s);
	free(s);
}

static const struct state_ops redis_ops = {
	.shared = true,
	.claim = redis_claim,
	.move = redis_move,
	.firm = redis_firm,
	.release = redis_release,
	.clients = redis_clients,
	.each = redis_each,
	.fact_put = redis_fact_put,
	.fact_drop = redis_fact_drop,
	.fact_ask = redis_fact_ask,
	.fact_forget = redis_fact_forget,
	.free = redis_free,
};

static void
redis_ready_cb(void *arg, bool is)
{
	struct redis_state *s = arg;

	MAGIC_CHECK(s, REDIS_STATE_MAGIC);
	if (is)
		atomic_fetch_add(&shared_stats(s->m)->links_ready, 1);
	else
		atomic_fetch_sub(&shared_stats(s->m)->links_ready, 1);
}

static const struct link_ops link_ops = { .ready = redis_ready_cb };

struct state *
redis_state_new(struct event_base *base, struct shared *m)
{
	struct redis_state *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->state.ops = &redis_ops;
	MAGIC_SET(s, REDIS_STATE_MAGIC);
	s->m = m;
	s->base = base;
	if (base != NULL)
		s->link = link_new(base, shared_link(m), shared_faults(m), &link_ops, s);
	if (base != NULL && s->link == NULL) {
		free(s);
		return NULL;
	}
	if (base != NULL)
		atomic_fetch_add(&shared_stats(m)->links, 1);
	return &s->state;
}
