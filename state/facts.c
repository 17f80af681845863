/* facts.c: the facts of sessions that live here, put into Redis again and again */
#include "config.h"

#include "state/facts.h"

#include "base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <uthash.h>

/* About 1 KiB each. */
#define FACTS_MAX 1000000

struct fact {
	struct facts_item item;
	uint64_t due_ms;
	struct fact *same;		/* of the same number on other nodes */
	TAILQ_ENTRY(fact) entry;	/* by due_ms */
	UT_hash_handle hh;
};

struct facts {
	pthread_mutex_t lock;
	struct fact *by_sid;		/* each the head of its `same` list */
	TAILQ_HEAD(, fact) queue;
	size_t n;
};

struct facts *
facts_new(void)
{
	struct facts *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	pthread_mutex_init(&f->lock, NULL);
	TAILQ_INIT(&f->queue);
	return f;
}

static struct fact *
fact_find(struct facts *f, const uint8_t *sid, const char *node)
{
	struct fact *x;

	HASH_FIND(hh, f->by_sid, sid, NAMES_ID_LEN, x);
	while (x != NULL && strcmp(x->item.node, node) != 0)
		x = x->same;
	return x;
}

static void
fact_forget(struct facts *f, struct fact *x)
{
	struct fact *head;

	HASH_FIND(hh, f->by_sid, x->item.sid, NAMES_ID_LEN, head);
	assert(head != NULL);
	if (head == x) {
		struct fact *rest = x->same;

		HASH_DEL(f->by_sid, x);
		if (rest != NULL)
			HASH_ADD(hh, f->by_sid, item.sid, NAMES_ID_LEN, rest);
	} else {
		while (head->same != x)
			head = head->same;
		head->same = x->same;
	}
	TAILQ_REMOVE(&f->queue, x, entry);
	f->n--;
	explicit_bzero(x, sizeof(*x));
	free(x);
}

void
facts_free(struct facts **fp)
{
	struct facts *f = *fp;
	struct fact *x;

	if (f == NULL)
		return;
	while ((x = TAILQ_FIRST(&f->queue)) != NULL)
		fact_forget(f, x);
	pthread_mutex_destroy(&f->lock);
	free(f);
	*fp = NULL;
}

static struct fact *
fact_new(struct facts *f, const struct facts_item *it)
{
	struct fact *x = f->n < FACTS_MAX ? calloc(1, sizeof(*x)) : NULL, *head;

	if (x == NULL)
		return NULL;
	x->item = *it;
	HASH_FIND(hh, f->by_sid, it->sid, NAMES_ID_LEN, head);
	if (head != NULL) {
		x->same = head->same;
		head->same = x;
	} else {
		HASH_ADD(hh, f->by_sid, item.sid, NAMES_ID_LEN, x);
	}
	TAILQ_INSERT_TAIL(&f->queue, x, entry);
	f->n++;
	return x;
}

int
facts_put(struct facts *f, const struct facts_item *it)
{
	struct fact *x;

	pthread_mutex_lock(&f->lock);
	x = fact_find(f, it->sid, it->node);
	if (x != NULL) {
		x->item = *it;
		TAILQ_REMOVE(&f->queue, x, entry);
		TAILQ_INSERT_TAIL(&f->queue, x, entry);
	} else {
		x = fact_new(f, it);
	}
	if (x != NULL)
		x->due_ms = clock_ms() + NAMES_FACT_MS / 3;
	pthread_mutex_unlock(&f->lock);
	return x == NULL ? -1 : 0;
}

bool
facts_drop(struct facts *f, const uint8_t sid[NAMES_ID_LEN], const char *node)
{
	struct fact *x;

	pthread_mutex_lock(&f->lock);
	x = fact_find(f, sid, node);
	if (x != NULL)
		fact_forget(f, x);
	pthread_mutex_unlock(&f->lock);
	return x != NULL;
}

size_t
facts_due(struct facts *f, struct facts_item *it, size_t max)
{
	uint64_t now = clock_ms();
	struct fact *x;
	size_t n = 0;

	pthread_mutex_lock(&f->lock);
	while (n < max && (x = TAILQ_FIRST(&f->queue)) != NULL && x->due_ms <= now) {
		it[n++] = x->item;
		x->due_ms = now + NAMES_FACT_MS / 3;
		TAILQ_REMOVE(&f->queue, x, entry);
		TAILQ_INSERT_TAIL(&f->queue, x, entry);
	}
	pthread_mutex_unlock(&f->lock);
	return n;
}

void
facts_all_due(struct facts *f)
{
	struct fact *x;

	pthread_mutex_lock(&f->lock);
	TAILQ_FOREACH(x, &f->queue, entry)
		x->due_ms = 0;
	pthread_mutex_unlock(&f->lock);
}

size_t
facts_count(struct facts *f)
{
	size_t n;

	pthread_mutex_lock(&f->lock);
	n = f->n;
	pthread_mutex_unlock(&f->lock);
	return n;
}
