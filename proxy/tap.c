/* tap.c: one capture or trace: what workers see, on its way to the main thread */
#include "config.h"

#include "proxy/tap.h"

#include "base/magic.h"
#include "proxy/mailbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What has not been taken: bytes, and then the rest. */
#define QUEUE_MAX (16 * 1024 * 1024)
#define QUEUE_SPARE (1024 * 1024)

#define TAP_MAGIC 0x7a9e7a9eu

struct tap {
	MAGIC_MEMBER
	_Atomic unsigned refs;
	struct tap_want want;
	struct tap_count count;
	_Atomic bool over;
	_Atomic size_t queued;
	struct mailbox *to;
	void (*more)(void *arg);	/* with `over`, for the main thread alone */
	void *arg;
	pthread_mutex_t lock;		/* a leaf, of these two: */
	struct tap_blocks blocks;
	bool woken;			/* more() is going to run */
};

struct tap *
tap_new(const struct tap_want *want, struct mailbox *to, void (*more)(void *arg), void *arg)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	MAGIC_SET(t, TAP_MAGIC);
	t->refs = 1;
	t->want = *want;
	t->to = to;
	t->more = more;
	t->arg = arg;
	pthread_mutex_init(&t->lock, NULL);
	STAILQ_INIT(&t->blocks);
	return t;
}

struct tap *
tap_ref(struct tap *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void
tap_unref(struct tap **tp)
{
	struct tap *t = *tp;
	struct tap_block *b;

	*tp = NULL;
	if (t == NULL || atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	while ((b = STAILQ_FIRST(&t->blocks)) != NULL) {
		STAILQ_REMOVE_HEAD(&t->blocks, entry);
		free(b);
	}
	pthread_mutex_destroy(&t->lock);
	MAGIC_CLEAR(t);
	free(t);
}

const struct tap_want *
tap_wanted(const struct tap *t)
{
	return &t->want;
}

struct tap_count *
tap_counts(struct tap *t)
{
	return &t->count;
}

/* On the main thread. */
static void
more_call(void *arg)
{
	struct tap *t = arg;

	MAGIC_CHECK(t, TAP_MAGIC);
	pthread_mutex_lock(&t->lock);
	t->woken = false;
	pthread_mutex_unlock(&t->lock);
	if (!atomic_load(&t->over))
		t->more(t->arg);
	tap_unref(&t);
}

/* first: nobody has been woken since the last time. Not with the lock held. */
static void
wake_if(struct tap *t, bool first)
{
	struct tap *ref;

	if (!first)
		return;
	ref = tap_ref(t);
	if (mailbox_post(t->to, more_call, ref) == 0)
		return;
	/* With the next record, then. */
	tap_unref(&ref);
	pthread_mutex_lock(&t->lock);
	t->woken = false;
	pthread_mutex_unlock(&t->lock);
}

void
tap_wake(struct tap *t)
{
	bool first;

	if (atomic_load(&t->over))
		return;
	pthread_mutex_lock(&t->lock);
	first = !t->woken;
	t->woken = true;
	pthread_mutex_unlock(&t->lock);
	wake_if(t, first);
}

static uint64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Room is taken for len bytes; false: there is none. */
static bool
room_take(struct tap *t, size_t len, bool spare)
{
	const size_t max = QUEUE_MAX + (spare ? QUEUE_SPARE : 0);

	if (atomic_fetch_add(&t->queued, len) + len <= max)
		return true;
	atomic_fetch_sub(&t->queued, len);
	return false;
}

void
tap_put(struct tap *t, struct tapmsg *m, const void *data)
{
	const size_t len = TAPMSG_HDR_LEN + m->len;
	struct tap_block *b = NULL;
	bool first;

	if (atomic_load_explicit(&t->over, memory_order_relaxed))
		return;
	if (room_take(t, len, m->kind != TAPMSG_DATA)) {
		b = malloc(sizeof(*b) + len);
		if (b == NULL)
			atomic_fetch_sub(&t->queued, len);
	}
	if (b == NULL) {
		atomic_fetch_add(&t->count.lost, 1);
		atomic_fetch_add(&t->count.lost_bytes, m->whole);
		return;
	}
	m->time_us = now_us();
	b->len = len;
	tapmsg_put(b->bytes, m);
	if (m->len > 0)
		memcpy(b->bytes + TAPMSG_HDR_LEN, data, m->len);
	atomic_fetch_add(&t->count.records, 1);
	atomic_fetch_add(&t->count.bytes, m->whole);
	pthread_mutex_lock(&t->lock);
	STAILQ_INSERT_TAIL(&t->blocks, b, entry);
	first = !t->woken;
	t->woken = true;
	pthread_mutex_unlock(&t->lock);
	wake_if(t, first);
}

void
tap_take(struct tap *t, struct tap_blocks *dst)
{
	struct tap_blocks got = STAILQ_HEAD_INITIALIZER(got);
	struct tap_block *b;
	size_t n = 0;

	pthread_mutex_lock(&t->lock);
	STAILQ_CONCAT(&got, &t->blocks);
	pthread_mutex_unlock(&t->lock);
	STAILQ_FOREACH(b, &got, entry)
		n += b->len;
	STAILQ_CONCAT(dst, &got);
	atomic_fetch_sub(&t->queued, n);
}

void
tap_end(struct tap *t)
{
	atomic_store(&t->over, true);
}
