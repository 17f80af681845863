/* chantab.c: the channels of one connection, by SessionId */
#include "config.h"

#include "inspect/chantab.h"

#include "inspect/session.h"

#include <stddef.h>
#include <stdlib.h>

/* Channels a bucket: more make more buckets, fewer than its eighth part fewer. */
#define BUCKET_MAX 8

static struct channel **
bucket_of(struct chantab *t, uint64_t session_id)
{
	/* Numbers may be counters or random in the low half: mix all bits. */
	if (t->mask == 0)
		return &t->buckets.one;
	return &t->buckets.many[(session_id * 0x9e3779b97f4a7c15ull) >> 32 & t->mask];
}

static void
chantab_link(struct chantab *t, struct channel *c)
{
	struct channel **b = bucket_of(t, channel_session_id(c));

	*channel_next(c) = *b;
	*b = c;
	t->n++;
}

/* The list of all, oldest first as far as buckets tell; the table is empty. */
static struct channel *
chantab_drain(struct chantab *t)
{
	struct channel *all = NULL, *c;

	for (unsigned i = 0; i <= t->mask; i++) {
		struct channel **b = t->mask == 0 ? &t->buckets.one : &t->buckets.many[i];

		while ((c = *b) != NULL) {
			*b = *channel_next(c);
			*channel_next(c) = all;
			all = c;
		}
	}
	if (t->mask != 0)
		free(t->buckets.many);
	*t = (struct chantab){ 0 };
	return all;
}

static void
chantab_resize(struct chantab *t, unsigned nbuckets)
{
	struct channel **many = nbuckets == 1 ? NULL : calloc(nbuckets, sizeof(struct channel *));
	struct channel *c, *next;

	if (nbuckets > 1 && many == NULL)
		return;
	c = chantab_drain(t);
	if (nbuckets > 1) {
		t->buckets.many = many;
		t->mask = nbuckets - 1;
	}
	for (; c != NULL; c = next) {
		next = *channel_next(c);
		chantab_link(t, c);
	}
}

struct channel *
chantab_find(const struct chantab *t, uint64_t session_id)
{
	struct channel *c = *bucket_of((struct chantab *)(uintptr_t)t, session_id);

	while (c != NULL && channel_session_id(c) != session_id)
		c = *channel_next(c);
	return c;
}

void
chantab_add(struct chantab *t, struct channel *c)
{
	if (t->n / BUCKET_MAX > t->mask)
		chantab_resize(t, (t->mask + 1) * BUCKET_MAX);
	chantab_link(t, c);
}

struct channel *
chantab_take(struct chantab *t, uint64_t session_id)
{
	struct channel **link = bucket_of(t, session_id), *c;

	while (*link != NULL && channel_session_id(*link) != session_id)
		link = channel_next(*link);
	c = *link;
	if (c == NULL)
		return NULL;
	*link = *channel_next(c);
	*channel_next(c) = NULL;
	t->n--;
	if (t->n < (t->mask + 1) / BUCKET_MAX)
		chantab_resize(t, (t->mask + 1) / BUCKET_MAX);
	return c;
}

/* The first of bucket i. */
static struct channel *
bucket_at(const struct chantab *t, unsigned i)
{
	return t->mask == 0 ? t->buckets.one : t->buckets.many[i];
}

struct channel *
chantab_first(const struct chantab *t)
{
	for (unsigned i = 0; t->n > 0 && i <= t->mask; i++)
		if (bucket_at(t, i) != NULL)
			return bucket_at(t, i);
	return NULL;
}

struct channel *
chantab_any(struct chantab *t)
{
	const struct channel *c = chantab_first(t);

	return c == NULL ? NULL : chantab_take(t, channel_session_id(c));
}

uint64_t
chantab_sum(const struct chantab *t,
    unsigned (*f)(struct sesstab *arg, const struct channel *c), struct sesstab *arg)
{
	uint64_t sum = 0;

	for (unsigned i = 0; t->n > 0 && i <= t->mask; i++)
		for (struct channel *c = bucket_at(t, i); c != NULL; c = *channel_next(c))
			sum += f(arg, c);
	return sum;
}

bool
chantab_has(const struct chantab *t, bool (*so)(const void *arg, const struct channel *c),
    const void *arg)
{
	for (unsigned i = 0; t->n > 0 && i <= t->mask; i++)
		for (struct channel *c = bucket_at(t, i); c != NULL; c = *channel_next(c))
			if (so(arg, c))
				return true;
	return false;
}

struct channel *
chantab_sift(struct chantab *t, bool (*so)(const struct channel *c))
{
	struct channel *all = chantab_drain(t), *out = NULL, *c;

	while ((c = all) != NULL) {
		all = *channel_next(c);
		if (so(c)) {
			*channel_next(c) = out;
			out = c;
		} else {
			chantab_add(t, c);
		}
	}
	return out;
}
