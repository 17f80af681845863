/* session_rows.c: the rows of the table of sessions, found, put in and taken out */
#include "config.h"

#include "inspect/session_rows.h"

#include "auth/keys.h"
#include "inspect/opens.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct shard *
session_shard(struct sesstab *t, uint64_t session_id)
{
	/* Numbers may be counters or random in the low half: mix all bits. */
	return &t->shard[(session_id * 0x9e3779b97f4a7c15ull) >> 58];
}

static struct session **
bucket_at(const struct shard *sh, uint64_t session_id)
{
	/* The shard goes by other bits of it. */
	const uint64_t mixed = (session_id * 0x9e3779b97f4a7c15ull) >> 32;

	return &sh->buckets[mixed & (sh->nbuckets - 1)];
}

/* The first one of that number at s or behind it in the bucket. */
static struct session *
of_number(struct session *s, uint64_t session_id)
{
	while (s != NULL && s->info.session_id != session_id)
		s = s->next;
	return s;
}

struct session *
session_head(const struct shard *sh, uint64_t session_id)
{
	return sh->n == 0 ? NULL : of_number(*bucket_at(sh, session_id), session_id);
}

struct session *
session_same(const struct session *s)
{
	return of_number(s->next, s->info.session_id);
}

struct session *
session_find(const struct shard *sh, uint64_t session_id, const struct node *node)
{
	struct session *s = session_head(sh, session_id);

	while (s != NULL && s->info.node != node)
		s = session_same(s);
	return s;
}

static void
put_last(struct session **link, struct session *s)
{
	while (*link != NULL)
		link = &(*link)->next;
	s->next = NULL;
	*link = s;
}

/* Without memory the lists get longer. */
static void
shard_grow(struct shard *sh)
{
	struct shard more = { .nbuckets = sh->nbuckets == 0 ? 4 : 2 * sh->nbuckets };
	struct session *s, *next;

	more.buckets = calloc(more.nbuckets, sizeof(struct session *));
	if (more.buckets == NULL)
		return;
	for (unsigned i = 0; i < sh->nbuckets; i++)
		for (s = sh->buckets[i]; s != NULL; s = next) {
			next = s->next;
			put_last(bucket_at(&more, s->info.session_id), s);
		}
	free(sh->buckets);
	sh->buckets = more.buckets;
	sh->nbuckets = more.nbuckets;
}

int
session_list(struct shard *sh, struct session *s)
{
	if (sh->n >= 2 * sh->nbuckets)
		shard_grow(sh);
	if (sh->buckets == NULL)
		return -1;
	put_last(bucket_at(sh, s->info.session_id), s);
	sh->n++;
	LIST_INSERT_HEAD(&sh->all, s, entry);
	return 0;
}

void
session_unlist(struct shard *sh, struct session *s)
{
	struct session **link = bucket_at(sh, s->info.session_id);
	struct session_cursor *k;

	LIST_FOREACH(k, &sh->cursors, entry)
		if (k->next == s)
			k->next = LIST_NEXT(s, entry);
	LIST_REMOVE(s, entry);
	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	s->next = NULL;
	sh->n--;
}

static struct session_tally *
tally_row(const struct shard *sh, const struct node *node)
{
	for (size_t i = 0; i < sh->ntally; i++)
		if (sh->tally[i].node == node)
			return &sh->tally[i];
	return NULL;
}

/* A row of a node that is gone counts nothing, and stays: nodes are few. */
int
session_countable(struct shard *sh, const struct node *node)
{
	struct session_tally *more;

	if (tally_row(sh, node) != NULL)
		return 0;
	more = realloc(sh->tally, (sh->ntally + 1) * sizeof(*more));
	if (more == NULL)
		return -1;
	sh->tally = more;
	more[sh->ntally++] = (struct session_tally){ .node = node };
	return 0;
}

void
session_count(struct shard *sh, const struct session *s, int by)
{
	struct session_tally *row = tally_row(sh, s->info.node);
	enum session_protection p = session_protection(&s->info);

	assert(row != NULL);
	row->sessions[p] += (uint64_t)by;
	row->channels[p] += (uint64_t)by * s->nchannels;
	row->files += (uint64_t)by * opens_total(s->opens);
}

void
session_count_files(struct shard *sh, const struct session *s, unsigned before)
{
	struct session_tally *row = tally_row(sh, s->info.node);

	if (row != NULL && !atomic_load_explicit(&s->over, memory_order_relaxed))
		row->files += (uint64_t)opens_total(s->opens) - before;
}

void
session_end(struct sesstab *t, struct shard *sh, struct session *s, unsigned own)
{
	session_count(sh, s, -1);
	session_unlist(sh, s);
	atomic_store_explicit(&s->over, true, memory_order_relaxed);
	smbkeys_unref(&s->keys);
	/* Behind what it announces. */
	if (s->nchannels > own)
		atomic_fetch_add_explicit(&t->ended, 1, memory_order_release);
}

int
channel_share_keys(struct channel *c, const struct signkey *signing)
{
	if (signing == NULL)
		smbkeys_unref(&c->keys);
	if (signing == NULL || c->keys == NULL)
		return 0;
	c->signing = &c->keys->signing;
	if (signing->alg == c->signing->alg &&
	    memcmp(signing->key, c->signing->key, sizeof(signing->key)) == 0)
		return 0;
	c->signing = malloc(sizeof(*c->signing));
	if (c->signing == NULL)
		return -1;
	*c->signing = *signing;
	c->owns_signing = true;
	return 0;
}

void
session_free(struct session *s)
{
	smbkeys_unref(&s->keys);
	opens_free(&s->opens);
	session_info_fini(&s->info);
	free(s);
}

struct session *
session_new(struct shard *sh, const struct session_info *si, struct smbkeys *keys)
{
	struct session *s = session_countable(sh, si->node) == -1 ? NULL : calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->info = *si;
	session_info_own(&s->info);
	s->keys = smbkeys_ref(keys);
	SLIST_INIT(&s->channels);
	if (session_list(sh, s) == -1) {
		session_free(s);
		return NULL;
	}
	return s;
}

void
channel_append(struct session *s, struct channel *c)
{
	struct channel *last = SLIST_FIRST(&s->channels);

	while (last != NULL && SLIST_NEXT(last, entry) != NULL)
		last = SLIST_NEXT(last, entry);
	if (last == NULL)
		SLIST_INSERT_HEAD(&s->channels, c, entry);
	else
		SLIST_INSERT_AFTER(last, c, entry);
	s->nchannels++;
}
