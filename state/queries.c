/* queries.c: what is asked of sessions that live at other proxies */
#include "config.h"

#include "state/queries.h"

#include "base/clock.h"
#include "state/reply.h"
#include "state/wake.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/*
 *	          the keeper has it          something, or no time
 *	ASKED ───────────► OUT ──────────────────────► ANSWERED
 *	                   ▲ │ nothing, and it is likely
 *	                   │ ▼
 *	                  AGAIN
 *
 * Who has not logged on can ask without end, for sessions that there are not. So what is hardly
 * there is asked for once, and one of these a millisecond; and so is what is likely, beyond so many
 * that wait at a time: then the source that has most of them gives way to others. Nothing here
 * takes longer the more there are.
 */
#define LIKELY_MAX 64
/* The first times; later, half of how long it has waited. */
#define AGAIN_MS 4

/* A question, and its answer. The keeper may still have it when its asker no longer wants it. */
struct state_query {
	struct queries *all;
	struct queries_port *port;
	uint8_t id[NAMES_ID_LEN], sid[NAMES_ID_LEN];
	uint64_t began_ms, end_ms;
	uint64_t after_ms;		/* to be asked again then */
	state_fact_f cb;		/* NULL: nobody wants it any more */
	void *arg;
	enum { QUERY_ASKED, QUERY_OUT, QUERY_AGAIN, QUERY_ANSWERED, QUERY_OVER } state;
	uint64_t source;
	bool likely;			/* and counted as such while it waits */
	bool kept;			/* by the keeper */
	struct state_fact *fact;	/* with its bytes behind it */
	TAILQ_ENTRY(state_query) entry;	/* asked, again, or answered of the port */
	TAILQ_ENTRY(state_query) timed;	/* while it waits */
	TAILQ_ENTRY(state_query) liked;	/* while it is counted */
};

struct queries {
	pthread_mutex_t lock;
	struct wakes wakes;
	struct wake *wake;
	struct queries_list asked, again;	/* again: LIKELY_MAX at most */
	struct queries_list timed;		/* all that wait, by end_ms */
	struct queries_list liked;		/* LIKELY_MAX at most */
	size_t nlikely;
	uint64_t unlikely_ms;			/* when one of these was asked last */
};

struct queries *
queries_new(void)
{
	struct queries *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	TAILQ_INIT(&all->asked);
	TAILQ_INIT(&all->again);
	TAILQ_INIT(&all->timed);
	TAILQ_INIT(&all->liked);
	return all;
}

void
queries_free(struct queries **all)
{
	if (*all == NULL)
		return;
	pthread_mutex_destroy(&(*all)->lock);
	free(*all);
	*all = NULL;
}

void
queries_keep(struct queries *all, struct wake *wake)
{
	pthread_mutex_lock(&all->lock);
	all->wake = wake;
	wakes_unlock(&all->wakes, &all->lock);
}

static void
query_like(struct state_query *q, bool likely)
{
	if (likely && !q->likely) {
		TAILQ_INSERT_TAIL(&q->all->liked, q, liked);
		q->all->nlikely++;
	} else if (!likely && q->likely) {
		TAILQ_REMOVE(&q->all->liked, q, liked);
		q->all->nlikely--;
	}
	q->likely = likely;
}

/* It waits no longer, or its answer is taken. */
static void
query_unlink(struct state_query *q)
{
	if (q->state == QUERY_ASKED)
		TAILQ_REMOVE(&q->all->asked, q, entry);
	else if (q->state == QUERY_AGAIN)
		TAILQ_REMOVE(&q->all->again, q, entry);
	else if (q->state == QUERY_ANSWERED)
		TAILQ_REMOVE(&q->port->answered, q, entry);
	if (q->state < QUERY_ANSWERED) {
		TAILQ_REMOVE(&q->all->timed, q, timed);
		query_like(q, false);
	}
	q->state = QUERY_OVER;
}

static void
query_post(struct state_query *q)
{
	query_unlink(q);
	q->state = QUERY_ANSWERED;
	TAILQ_INSERT_TAIL(&q->port->answered, q, entry);
	wakes_add(&q->all->wakes, q->port->wake);
}

static void
query_free(struct state_query *q)
{
	free(q->fact);
	free(q);
}

static size_t
liked_of(const struct queries *all, uint64_t source)
{
	const struct state_query *q;
	size_t n = 0;

	TAILQ_FOREACH(q, &all->liked, liked)
		n += q->source == source;
	return n;
}

/* The last of the source that has most of those that are likely, and would have with one more. */
static struct state_query *
liked_most(struct queries *all, uint64_t source)
{
	struct state_query *q, *last = NULL;
	size_t most = liked_of(all, source) + 2;

	TAILQ_FOREACH(q, &all->liked, liked) {
		size_t n = liked_of(all, q->source);

		if (n >= most) {
			most = n;
			last = q;
		}
	}
	return last;
}

/* Is there room for one more that is likely? Who has to give way is asked for once. */
static bool
liked_room(struct queries *all, uint64_t source)
{
	struct state_query *q;

	if (all->nlikely < LIKELY_MAX)
		return true;
	q = liked_most(all, source);
	if (q == NULL)
		return false;
	query_like(q, false);
	if (q->state == QUERY_AGAIN)
		query_post(q);
	return true;
}

/* False: so many are asked for that this one is not. */
static bool
query_add(struct queries *all, struct state_query *q, bool likely, unsigned ms)
{
	struct state_query *before = TAILQ_LAST(&all->timed, queries_list);

	q->began_ms = clock_ms();
	q->end_ms = q->began_ms + ms;
	query_like(q, likely && liked_room(all, q->source));
	if (!q->likely && all->unlikely_ms == q->began_ms)
		return false;
	if (!q->likely)
		all->unlikely_ms = q->began_ms;
	TAILQ_INSERT_TAIL(&all->asked, q, entry);
	/* All have the same time. */
	while (before != NULL && before->end_ms > q->end_ms)
		before = TAILQ_PREV(before, queries_list, timed);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&all->timed, q, timed);
	else
		TAILQ_INSERT_AFTER(&all->timed, before, q, timed);
	wakes_add(&all->wakes, all->wake);
	return true;
}

struct state_query *
queries_ask(struct queries *all, struct queries_port *p, const struct query_about *about,
    unsigned ms, state_fact_f cb, void *arg)
{
	struct state_query *q = calloc(1, sizeof(*q));
	bool added;

	if (q == NULL)
		return NULL;
	q->all = all;
	q->port = p;
	memcpy(q->id, about->id, NAMES_ID_LEN);
	memcpy(q->sid, about->sid, NAMES_ID_LEN);
	q->source = about->source;
	q->cb = cb;
	q->arg = arg;
	pthread_mutex_lock(&all->lock);
	added = query_add(all, q, about->likely, ms);
	wakes_unlock(&all->wakes, &all->lock);
	if (added)
		return q;
	free(q);
	return NULL;
}

void
queries_unask(struct state_query *q)
{
	struct queries *all = q->all;
	bool kept;

	pthread_mutex_lock(&all->lock);
	query_unlink(q);
	q->cb = NULL;
	kept = q->kept;
	wakes_unlock(&all->wakes, &all->lock);
	if (!kept)
		query_free(q);
}

void
queries_answer(struct queries *all, struct queries_port *p)
{
	for (;;) {
		struct state_fact *fact;
		struct state_query *q;
		state_fact_f cb;
		void *arg;
		bool kept;

		pthread_mutex_lock(&all->lock);
		q = TAILQ_FIRST(&p->answered);
		if (q == NULL) {
			wakes_unlock(&all->wakes, &all->lock);
			return;
		}
		query_unlink(q);
		cb = q->cb;
		arg = q->arg;
		fact = q->fact;
		q->fact = NULL;
		q->cb = NULL;
		kept = q->kept;
		wakes_unlock(&all->wakes, &all->lock);
		if (!kept)
			query_free(q);
		cb(arg, fact);
		free(fact);
	}
}

/* The next to be asked: one whose time has come again has less of it left. */
static struct state_query *
query_due(struct queries *all, uint64_t now)
{
	struct state_query *q;

	TAILQ_FOREACH(q, &all->again, entry)
		if (q->after_ms <= now)
			return q;
	return TAILQ_FIRST(&all->asked);
}

struct state_query *
queries_asked(struct queries *all, uint8_t id[NAMES_ID_LEN], uint8_t sid[NAMES_ID_LEN])
{
	struct state_query *q;

	pthread_mutex_lock(&all->lock);
	q = query_due(all, clock_ms());
	if (q != NULL) {
		memcpy(id, q->id, NAMES_ID_LEN);
		memcpy(sid, q->sid, NAMES_ID_LEN);
		TAILQ_REMOVE(q->state == QUERY_AGAIN ? &all->again : &all->asked, q, entry);
		q->state = QUERY_OUT;
		q->kept = true;
	}
	wakes_unlock(&all->wakes, &all->lock);
	return q;
}

bool
queries_fact(const struct redisReply *r, struct state_fact *f)
{
	size_t len, name;
	const char *text = reply_text(r, &len);

	/* The node's identity, a zero, and what is opaque here. */
	if (text == NULL)
		return false;
	name = strnlen(text, len) + 1;
	if (name > STATE_NODE_LEN || name >= len || len - name > STATE_FACT_MAX)
		return false;
	memcpy(f->node, text, name);
	f->bytes = text + name;
	f->len = len - name;
	return true;
}

/* A copy that holds what it points to; NULL: there is none. */
static struct state_fact *
copy_fact(const struct state_fact *fact)
{
	struct state_fact *c = fact == NULL ? NULL : malloc(sizeof(*c) + fact->len);

	if (c == NULL)
		return NULL;
	*c = *fact;
	memcpy(c + 1, fact->bytes, fact->len);
	c->bytes = c + 1;
	return c;
}

/* The client may have been quicker than what its other proxy has to say of it. */
static bool
ask_again(struct state_query *q)
{
	const uint64_t now = clock_ms(), half = (now - q->began_ms) / 2;

	if (!q->likely || now + 2 * AGAIN_MS >= q->end_ms)
		return false;
	q->after_ms = now + (half > AGAIN_MS ? half : AGAIN_MS);
	/* The last time while an answer may still come. */
	if (q->after_ms + AGAIN_MS > q->end_ms)
		q->after_ms = q->end_ms - AGAIN_MS;
	q->state = QUERY_AGAIN;
	TAILQ_INSERT_TAIL(&q->all->again, q, entry);
	return true;
}

void
queries_answered(struct state_query *q, const struct state_fact *fact, bool last)
{
	struct state_fact *copy = copy_fact(fact);
	struct queries *all = q->all;
	bool wanted;

	pthread_mutex_lock(&all->lock);
	q->kept = false;
	wanted = q->cb != NULL;
	if (q->state == QUERY_OUT && (fact != NULL || last || !ask_again(q))) {
		q->fact = copy;
		copy = NULL;
		query_post(q);
	}
	wakes_unlock(&all->wakes, &all->lock);
	free(copy);
	if (!wanted)
		query_free(q);
}

uint64_t
queries_expire(struct queries *all)
{
	uint64_t now = clock_ms(), next;
	struct state_query *q;

	pthread_mutex_lock(&all->lock);
	while ((q = TAILQ_FIRST(&all->timed)) != NULL && q->end_ms <= now)
		query_post(q);
	next = q == NULL ? 0 : q->end_ms;
	TAILQ_FOREACH(q, &all->again, entry)
		if (q->after_ms < next)
			next = q->after_ms;
	wakes_unlock(&all->wakes, &all->lock);
	return next;
}
