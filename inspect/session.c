/* session.c: the table of sessions and their channels, shared by all workers */
#include "config.h"

#include "inspect/session.h"

#include "auth/keys.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <uthash.h>

/*
 * Sharded by SessionId; each shard's lock is a leaf and never held over a callback. Sessions of
 * different nodes may carry the same number (they are unique per server, not per site), so a
 * number leads to a list. A session lives as long as a channel points to it; after LOGOFF it is
 * out of the table while its channels end.
 */

#define SHARDS 64

/* There are as many of these two as clients: what most do not have is kept elsewhere. */
struct channel {
	struct session *session;
	struct signkey *signing;	/* the session's, or its own; NULL: opaque */
	const struct channel_ends *ends;	/* borrowed */
	struct channel *next;
	TAILQ_ENTRY(channel) entry;
	bool bound;
	bool owns_signing;		/* signing is the channel's: to be wiped and freed */
};

struct session {
	struct session_info info;	/* what it points to is the session's own */
	struct smbkeys *keys;		/* a reference; NULL: opaque */
	bool listed;
	unsigned nchannels;
	TAILQ_HEAD(, channel) channels;
	struct session *same;	/* of the same number on other nodes */
	UT_hash_handle hh;
};

struct shard {
	pthread_mutex_t lock;
	struct session *sessions;	/* by number; each the head of its `same` list */
};

struct sesstab {
	struct shard shard[SHARDS];
};

struct sesstab *
sesstab_new(void)
{
	struct sesstab *t = calloc(1, sizeof(*t));

	for (int i = 0; t != NULL && i < SHARDS; i++)
		pthread_mutex_init(&t->shard[i].lock, NULL);
	return t;
}

void
sesstab_free(struct sesstab **t)
{
	/* Every channel has left, so every session is gone. */
	for (int i = 0; *t != NULL && i < SHARDS; i++)
		pthread_mutex_destroy(&(*t)->shard[i].lock);
	free(*t);
	*t = NULL;
}

static struct shard *
shard_of(struct sesstab *t, uint64_t session_id)
{
	/* Numbers may be counters or random in the low half: mix all bits. */
	return &t->shard[(session_id * 0x9e3779b97f4a7c15ull) >> 58];
}

static struct session *
head_of(struct shard *sh, uint64_t session_id)
{
	struct session *s;

	HASH_FIND(hh, sh->sessions, &session_id, sizeof(session_id), s);
	return s;
}

static void
list_session(struct shard *sh, struct session *s)
{
	struct session *head = head_of(sh, s->info.session_id);

	s->listed = true;
	if (head != NULL) {
		s->same = head->same;
		head->same = s;
	} else {
		HASH_ADD(hh, sh->sessions, info.session_id, sizeof(s->info.session_id), s);
	}
}

static void
unlist_session(struct shard *sh, struct session *s)
{
	struct session *head = head_of(sh, s->info.session_id);

	if (!s->listed)
		return;
	s->listed = false;
	if (head == s) {
		struct session *rest = s->same;

		HASH_DEL(sh->sessions, s);
		if (rest != NULL)
			HASH_ADD(hh, sh->sessions, info.session_id, sizeof(rest->info.session_id),
			    rest);
	} else {
		while (head->same != s)
			head = head->same;
		head->same = s->same;
	}
	s->same = NULL;
}

/* A further channel has its own signing key, and all else of the session. -1 when memory is out. */
static int
share_keys(struct session *s, struct channel *c, const struct signkey *signing)
{
	if (s->keys == NULL || signing == NULL)
		return 0;
	c->signing = &s->keys->signing;
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

static void
forget_keys(struct channel *c)
{
	if (c->owns_signing) {
		explicit_bzero(c->signing, sizeof(*c->signing));
		free(c->signing);
	}
	c->signing = NULL;
	c->owns_signing = false;
}

/* Its shard is locked. */
static void
session_free(struct session *s)
{
	smbkeys_unref(&s->keys);
	session_info_fini(&s->info);
	free(s);
}

static struct session *
session_new(struct shard *sh, const struct session_info *si, struct smbkeys *keys)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->info = *si;
	session_info_own(&s->info);
	s->keys = smbkeys_ref(keys);
	TAILQ_INIT(&s->channels);
	list_session(sh, s);
	return s;
}

struct channel *
sesstab_join(struct sesstab *t, const struct session_info *si, const struct channel_ends *ends,
    bool bound, struct smbkeys *keys, const struct signkey *signing)
{
	struct shard *sh = shard_of(t, si->session_id);
	struct channel *c = calloc(1, sizeof(*c));
	struct session *s;

	if (c == NULL)
		return NULL;
	c->ends = ends;
	c->bound = bound;
	pthread_mutex_lock(&sh->lock);
	for (s = head_of(sh, si->session_id); s != NULL; s = s->same)
		if (s->info.node == si->node)
			break;
	if (s == NULL)
		s = session_new(sh, si, keys);
	if (s != NULL) {
		c->session = s;
		TAILQ_INSERT_TAIL(&s->channels, c, entry);
		s->nchannels++;
	}
	pthread_mutex_unlock(&sh->lock);
	if (s == NULL)
		free(c);
	else if (share_keys(s, c, signing) == -1)
		(void)channel_leave(t, &c);
	return s == NULL ? NULL : c;
}

bool
channel_leave(struct sesstab *t, struct channel **cp)
{
	struct channel *c = *cp;
	struct session *s;
	struct shard *sh;
	bool over = false;

	if (c == NULL)
		return false;
	*cp = NULL;
	s = c->session;
	sh = shard_of(t, s->info.session_id);
	forget_keys(c);
	pthread_mutex_lock(&sh->lock);
	TAILQ_REMOVE(&s->channels, c, entry);
	if (--s->nchannels == 0) {
		over = s->listed;
		unlist_session(sh, s);
		session_free(s);
	}
	pthread_mutex_unlock(&sh->lock);
	free(c);
	return over;
}

void
channel_logoff(struct sesstab *t, struct channel *c)
{
	struct shard *sh = shard_of(t, c->session->info.session_id);

	pthread_mutex_lock(&sh->lock);
	unlist_session(sh, c->session);
	pthread_mutex_unlock(&sh->lock);
}

uint64_t
channel_session_id(const struct channel *c)
{
	return c->session->info.session_id;
}

struct channel **
channel_next(struct channel *c)
{
	return &c->next;
}

struct smbkeys *
channel_keys(const struct channel *c)
{
	return c->signing == NULL ? NULL : c->session->keys;
}

const struct signkey *
channel_signing(const struct channel *c)
{
	return c->signing;
}

void
channel_opaque(struct sesstab *t, struct channel *c, const char *because)
{
	struct session_info *si = &c->session->info;
	struct shard *sh = shard_of(t, si->session_id);

	forget_keys(c);
	pthread_mutex_lock(&sh->lock);
	session_info_opaque(si, because);
	pthread_mutex_unlock(&sh->lock);
}

struct smbkeys *
sesstab_keys(struct sesstab *t, uint64_t session_id, const struct node *node)
{
	struct shard *sh = shard_of(t, session_id);
	struct session *found = NULL;
	struct smbkeys *keys = NULL;
	unsigned n = 0;

	pthread_mutex_lock(&sh->lock);
	for (struct session *s = head_of(sh, session_id); s != NULL; s = s->same) {
		if (node != NULL && s->info.node != node)
			continue;
		found = s;
		n++;
	}
	if (n == 1)
		keys = smbkeys_ref(found->keys);
	pthread_mutex_unlock(&sh->lock);
	return keys;
}

void
channel_query_result(struct sesstab *t, struct channel *c, enum query_result query,
    const struct ifinfo *list, size_t n)
{
	struct session_info *si = &c->session->info;
	struct shard *sh = shard_of(t, si->session_id);

	pthread_mutex_lock(&sh->lock);
	session_info_query(si, query, list, n);
	pthread_mutex_unlock(&sh->lock);
}

bool
sesstab_has(struct sesstab *t, uint64_t session_id, const struct node *node)
{
	struct shard *sh = shard_of(t, session_id);
	struct session *s;

	pthread_mutex_lock(&sh->lock);
	for (s = head_of(sh, session_id); s != NULL && s->info.node != node; s = s->same)
		;
	pthread_mutex_unlock(&sh->lock);
	return s != NULL;
}

bool
sesstab_elsewhere(struct sesstab *t, uint64_t session_id, const struct node *node)
{
	struct shard *sh = shard_of(t, session_id);
	bool other = false, here = false;

	pthread_mutex_lock(&sh->lock);
	for (struct session *s = head_of(sh, session_id); s != NULL; s = s->same) {
		if (s->info.node == node)
			here = true;
		else
			other = true;
	}
	pthread_mutex_unlock(&sh->lock);
	return other && !here;
}

struct copy {
	struct session_info info;
	struct channel_info *channels;
	size_t n;
};

/* -1 when memory is out. */
static int
copy_session(const struct session *s, struct copy *dst)
{
	const struct channel *c;

	dst->n = 0;
	dst->channels = calloc(s->nchannels, sizeof(*dst->channels));
	if (dst->channels == NULL)
		return -1;
	dst->info = s->info;
	session_info_own(&dst->info);
	TAILQ_FOREACH(c, &s->channels, entry)
		dst->channels[dst->n++] = (struct channel_info){ *c->ends, c->bound };
	return 0;
}

void
sesstab_each(struct sesstab *t, void (*f)(void *arg, const struct session_info *,
    const struct channel_info *, size_t nchannels), void *arg)
{
	for (int i = 0; i < SHARDS; i++) {
		struct shard *sh = &t->shard[i];
		struct copy *all;
		struct session *s, *tmp;
		size_t n = 0, k = 0;

		pthread_mutex_lock(&sh->lock);
		HASH_ITER(hh, sh->sessions, s, tmp)
			for (struct session *x = s; x != NULL; x = x->same)
				n++;
		all = calloc(n + 1, sizeof(*all));
		HASH_ITER(hh, sh->sessions, s, tmp)
			for (struct session *x = s; all != NULL && x != NULL; x = x->same)
				if (copy_session(x, &all[k]) == 0)
					k++;
		pthread_mutex_unlock(&sh->lock);
		for (size_t j = 0; j < k; j++) {
			f(arg, &all[j].info, all[j].channels, all[j].n);
			free(all[j].channels);
			session_info_fini(&all[j].info);
		}
		free(all);
	}
}
