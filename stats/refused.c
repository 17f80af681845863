/* refused.c: the last refusals, to whom and when; kept for people who ask */
#include "config.h"

#include "stats/refused.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The lock is a leaf. Rows are not in order: each is free, or has its time. */
struct refused {
	pthread_mutex_t lock;
	uint64_t left_out;
	uint64_t source[REFUSED_MAX];	/* a part of the client's address, to be quick */
	struct refusal row[REFUSED_MAX];	/* count 0: free */
};

struct refused *
refused_new(void)
{
	struct refused *r = calloc(1, sizeof(*r));

	if (r != NULL)
		pthread_mutex_init(&r->lock, NULL);
	return r;
}

void
refused_free(struct refused **r)
{
	if (*r != NULL)
		pthread_mutex_destroy(&(*r)->lock);
	free(*r);
	*r = NULL;
}

static uint64_t
source_of(const struct addr *a)
{
	uint64_t part[2];

	memcpy(part, a->b, sizeof(part));
	return part[0] * 31 + part[1];
}

static size_t
older(const struct refused *r, size_t a, size_t b)
{
	return a == REFUSED_MAX || r->row[b].at_ms < r->row[a].at_ms ? b : a;
}

/*
 * The row for it: the one that it repeats; else the oldest of its client's, if these are as many as
 * there may be; else the oldest of all, free ones first, whose time is 0.
 */
static size_t
row_for(const struct refused *r, const struct refusal *what, uint64_t source)
{
	size_t oldest = REFUSED_MAX, own = REFUSED_MAX, n = 0;

	for (size_t i = 0; i < REFUSED_MAX; i++) {
		const struct refusal *x = &r->row[i];

		oldest = older(r, oldest, i);
		if (r->source[i] != source || x->count == 0 ||
		    !addr_equal(&x->client.addr, &what->client.addr))
			continue;
		if (x->kind == what->kind && guid_equal(&x->guid, &what->guid))
			return i;
		own = older(r, own, i);
		n++;
	}
	return n >= REFUSED_SOURCE_MAX ? own : oldest;
}

void
refused_again(struct refused *r, const struct refusal *what)
{
	const uint64_t source = source_of(&what->client.addr);
	uint64_t count = what->count;
	struct refusal *x;

	pthread_mutex_lock(&r->lock);
	x = &r->row[row_for(r, what, source)];
	if (x->count > 0 && x->at_ms + REFUSED_MS > what->at_ms) {
		if (x->kind == what->kind && guid_equal(&x->guid, &what->guid) &&
		    addr_equal(&x->client.addr, &what->client.addr))
			count += x->count;
		else
			r->left_out += x->count;
	}
	r->source[x - r->row] = source;
	*x = *what;
	x->count = count;
	pthread_mutex_unlock(&r->lock);
}

void
refused_note(struct refused *r, const struct refusal *what)
{
	struct refusal once = *what;

	once.count = 1;
	refused_again(r, &once);
}

static int
newer_first(const void *a, const void *b)
{
	const struct refusal *x = a, *y = b;

	return (x->at_ms < y->at_ms) - (x->at_ms > y->at_ms);
}

size_t
refused_list(struct refused *r, uint64_t now_ms, struct refusal *dst, uint64_t *left_out)
{
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < REFUSED_MAX; i++)
		if (r->row[i].count > 0 && r->row[i].at_ms + REFUSED_MS > now_ms)
			dst[n++] = r->row[i];
	*left_out = r->left_out;
	pthread_mutex_unlock(&r->lock);
	qsort(dst, n, sizeof(*dst), newer_first);
	return n;
}
