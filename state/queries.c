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

/* What is not there is asked for again, while there is time. */
#define AGAIN_MS 4

/* A question, and its answer. The keeper may still have it when its asker no longer wants it. */
struct state_query {
	struct queries *all;
	struct queries_port *port;
	uint8_t id[NAMES_ID_LEN], sid[NAMES_ID_LEN];
	uint64_t end_ms;
	uint64_t after_ms;		/* to be asked again then */
	state_fact_f cb;		/* NULL: nobody wants it any more */
	void *arg;
	enum { QUERY_ASKED, QUERY_OUT, QUERY_ANSWERED, QUERY_OVER } state;
	bool kept;			/* by the keeper */
	struct state_fact *fact;	/* with its bytes behind it */
	TAILQ_ENTRY(state_query) entry;	/* asked, out, or answered of the port */
};

struct queries {
	pthread_mutex_t lock;
	struct wake *wake;
	struct queries_list asked, out;	/* by end_ms */
};

struct queries *
queries_new(void)
{
	struct queries *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	TAILQ_INIT(&all->asked);
	TAILQ_INIT(&all->out);
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
	pthread_mutex_unlock(&all->lock);
}

static void
query_unlink(struct state_query *q)
{
	if (q->state == QUERY_ASKED)
		TAILQ_REMOVE(&q->all->asked, q, entry);
	else if (q->state == QUERY_OUT)
		TAILQ_REMOVE(&q->all->out, q, entry);
	else if (q->state == QUERY_ANSWERED)
		TAILQ_REMOVE(&q->port->answered, q, entry);
	q->state = QUERY_OVER;
}

static void
query_free(struct state_query *q)
{
	free(q->fact);
	free(q);
}

struct state_query *
queries_ask(struct queries *all, struct queries_port *p, const uint8_t id[NAMES_ID_LEN],
    const uint8_t sid[NAMES_ID_LEN], unsigned ms, state_fact_f cb, void *arg)
{
	struct state_query *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->all = all;
	q->port = p;
	memcpy(q->id, id, NAMES_ID_LEN);
	memcpy(q->sid, sid, NAMES_ID_LEN);
	q->end_ms = clock_ms() + ms;
	q->cb = cb;
	q->arg = arg;
	pthread_mutex_lock(&all->lock);
	TAILQ_INSERT_TAIL(&all->asked, q, entry);
	if (all->wake != NULL)
		wake_up(all->wake);
	pthread_mutex_unlock(&all->lock);
	return q;
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
	pthread_mutex_unlock(&all->lock);
	if (!kept)
		query_free(q);
}

static void
query_post(struct state_query *q)
{
	query_unlink(q);
	q->state = QUERY_ANSWERED;
	TAILQ_INSERT_TAIL(&q->port->answered, q, entry);
	wake_up(q->port->wake);
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
			pthread_mutex_unlock(&all->lock);
			return;
		}
		query_unlink(q);
		cb = q->cb;
		arg = q->arg;
		fact = q->fact;
		q->fact = NULL;
		q->cb = NULL;
		kept = q->kept;
		pthread_mutex_unlock(&all->lock);
		if (!kept)
			query_free(q);
		cb(arg, fact);
		free(fact);
	}
}

struct state_query *
queries_asked(struct queries *all, uint8_t id[NAMES_ID_LEN], uint8_t sid[NAMES_ID_LEN])
{
	uint64_t now = clock_ms();
	struct state_query *q;

	pthread_mutex_lock(&all->lock);
	TAILQ_FOREACH(q, &all->asked, entry)
		if (q->after_ms <= now)
			break;
	if (q != NULL) {
		memcpy(id, q->id, NAMES_ID_LEN);
		memcpy(sid, q->sid, NAMES_ID_LEN);
		query_unlink(q);
		q->state = QUERY_OUT;
		q->kept = true;
		TAILQ_INSERT_TAIL(&all->out, q, entry);
	}
	pthread_mutex_unlock(&all->lock);
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

void
queries_answered(struct state_query *q, const struct state_fact *fact, bool last)
{
	struct state_fact *copy = copy_fact(fact);
	uint64_t now = clock_ms();
	struct queries *all = q->all;
	bool wanted;

	pthread_mutex_lock(&all->lock);
	q->kept = false;
	wanted = q->cb != NULL;
	if (q->state == QUERY_OUT && fact == NULL && now + 2 * AGAIN_MS < q->end_ms && !last) {
		/* The client may have been quicker than what its other proxy has to say of it. */
		query_unlink(q);
		q->state = QUERY_ASKED;
		q->after_ms = now + AGAIN_MS;
		TAILQ_INSERT_HEAD(&all->asked, q, entry);
	} else if (q->state == QUERY_OUT) {
		q->fact = copy;
		copy = NULL;
		query_post(q);
	}
	pthread_mutex_unlock(&all->lock);
	free(copy);
	if (!wanted)
		query_free(q);
}

bool
queries_expire(struct queries *all, uint64_t *next_ms)
{
	struct state_query *q, *o;
	uint64_t now = clock_ms();
	bool any = false;

	pthread_mutex_lock(&all->lock);
	for (;;) {
		q = TAILQ_FIRST(&all->out);
		o = TAILQ_FIRST(&all->asked);
		if (q == NULL || (o != NULL && o->end_ms < q->end_ms))
			q = o;
		if (q == NULL || q->end_ms > now)
			break;
		any |= q->state == QUERY_OUT;
		query_post(q);
	}
	*next_ms = q == NULL ? 0 : q->end_ms;
	TAILQ_FOREACH(q, &all->asked, entry)
		if (q->after_ms > now && q->after_ms < *next_ms)
			*next_ms = q->after_ms;
	pthread_mutex_unlock(&all->lock);
	return any;
}
