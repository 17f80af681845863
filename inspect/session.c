/* session.c: the table of sessions and their channels, shared by all workers */
#include "config.h"

#include "inspect/session.h"

#include "auth/keys.h"
#include "inspect/opens.h"
#include "inspect/session_rows.h"
#include "nodes/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sesstab *
sesstab_new(void)
{
	struct sesstab *t = calloc(1, sizeof(*t));

	for (int i = 0; t != NULL && i < SESSION_SHARDS; i++) {
		pthread_mutex_init(&t->shard[i].lock, NULL);
		LIST_INIT(&t->shard[i].all);
		LIST_INIT(&t->shard[i].cursors);
	}
	return t;
}

void
sesstab_free(struct sesstab **t)
{
	/* Every channel has left, so every session is gone. */
	for (int i = 0; *t != NULL && i < SESSION_SHARDS; i++) {
		pthread_mutex_destroy(&(*t)->shard[i].lock);
		free((*t)->shard[i].buckets);
		free((*t)->shard[i].tally);
	}
	free(*t);
	*t = NULL;
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
	smbkeys_unref(&c->keys);
}

struct channel *
sesstab_join(struct sesstab *t, const struct session_info *si, const struct channel_ends *ends,
    bool bound, struct smbkeys *keys, const struct signkey *signing)
{
	struct shard *sh = session_shard(t, si->session_id);
	struct channel *c = calloc(1, sizeof(*c));
	struct session *s;

	if (c == NULL)
		return NULL;
	c->ends = ends;
	c->bound = bound;
	pthread_mutex_lock(&sh->lock);
	s = session_find(sh, si->session_id, si->node);
	if (s != NULL && !bound) {
		session_end(t, sh, s, 0);
		s = NULL;
	}
	if (s != NULL) {
		session_count(sh, s, -1);
	} else {
		s = session_new(sh, si, keys);
		if (s != NULL && (bound || si->signing_required))
			s->must_sign = true;
	}
	if (s != NULL) {
		c->session = s;
		c->keys = smbkeys_ref(s->keys);
		channel_append(s, c);
		session_count(sh, s, 1);
	}
	pthread_mutex_unlock(&sh->lock);
	if (s == NULL)
		free(c);
	else if (channel_share_keys(c, signing) == -1)
		(void)channel_leave(t, &c);
	return s == NULL ? NULL : c;
}

bool
channel_leave(struct sesstab *t, struct channel **cp)
{
	struct channel *c = *cp;
	struct session *s;
	struct shard *sh;
	bool last = false, over;

	if (c == NULL)
		return false;
	*cp = NULL;
	s = c->session;
	sh = session_shard(t, s->info.session_id);
	forget_keys(c);
	pthread_mutex_lock(&sh->lock);
	over = channel_over(c);
	if (!over)
		session_count(sh, s, -1);
	SLIST_REMOVE(&s->channels, c, channel, entry);
	s->nchannels--;
	if (s->nchannels > 0 && !over)
		session_count(sh, s, 1);
	if (s->nchannels == 0) {
		last = !over;
		if (last)
			session_unlist(sh, s);
		session_free(s);
	}
	pthread_mutex_unlock(&sh->lock);
	free(c);
	return last;
}

bool
channel_over(const struct channel *c)
{
	return atomic_load_explicit(&c->session->over, memory_order_relaxed);
}

bool
channel_must_sign(const struct channel *c)
{
	return atomic_load_explicit(&c->session->must_sign, memory_order_relaxed);
}

void
channel_sign_always(struct channel *c)
{
	atomic_store_explicit(&c->session->must_sign, true, memory_order_relaxed);
}

void
channel_again(struct channel *c)
{
	atomic_store_explicit(&c->session->again, true, memory_order_relaxed);
}

bool
channel_was_again(const struct channel *c)
{
	return atomic_load_explicit(&c->session->again, memory_order_relaxed);
}

void
channel_rebind(struct channel *c, bool refused)
{
	c->rebound = refused;
}

bool
channel_rebound(const struct channel *c)
{
	return c->rebound;
}

bool
channel_shared(struct sesstab *t, const struct channel *c)
{
	struct shard *sh = session_shard(t, c->session->info.session_id);
	bool shared;

	pthread_mutex_lock(&sh->lock);
	shared = c->session->nchannels > 1;
	pthread_mutex_unlock(&sh->lock);
	return shared;
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
	return c->signing == NULL ? NULL : c->keys;
}

const struct signkey *
channel_signing(const struct channel *c)
{
	return c->signing;
}

bool
channel_keyless(const struct channel *c)
{
	/* Said by its first logon, and never changed. */
	return c->session->info.guest || c->session->info.anonymous;
}

/* Its shard is locked. */
static void
session_opaque(struct shard *sh, struct session *s, const char *because)
{
	bool counted = !atomic_load_explicit(&s->over, memory_order_relaxed);

	if (counted)
		session_count(sh, s, -1);
	session_info_opaque(&s->info, because);
	if (counted)
		session_count(sh, s, 1);
}

void
channel_shows(struct sesstab *t, struct channel *c, const char *because)
{
	struct session_info *si = &c->session->info;
	struct shard *sh = session_shard(t, si->session_id);

	if (c->shown)
		return;
	c->shown = true;
	pthread_mutex_lock(&sh->lock);
	if (si->opaque_because == NULL)
		session_opaque(sh, c->session, because);
	pthread_mutex_unlock(&sh->lock);
}

void
channel_opaque(struct sesstab *t, struct channel *c, enum nokey_cause cause, const char *because)
{
	struct session_info *si = &c->session->info;
	struct shard *sh = session_shard(t, si->session_id);

	forget_keys(c);
	pthread_mutex_lock(&sh->lock);
	si->cause = (uint8_t)cause;
	session_opaque(sh, c->session, because);
	pthread_mutex_unlock(&sh->lock);
}

struct smbkeys *
sesstab_keys(struct sesstab *t, uint64_t session_id, const struct node *node)
{
	struct shard *sh = session_shard(t, session_id);
	struct session *found = NULL;
	struct smbkeys *keys = NULL;
	unsigned n = 0;

	pthread_mutex_lock(&sh->lock);
	for (struct session *s = session_head(sh, session_id); s != NULL; s = session_same(s)) {
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
    struct query_seen *seen)
{
	struct session_info *si = &c->session->info;
	struct shard *sh = session_shard(t, si->session_id);

	pthread_mutex_lock(&sh->lock);
	session_info_query(si, query, seen);
	pthread_mutex_unlock(&sh->lock);
}

bool
sesstab_user(struct sesstab *t, uint64_t session_id, char *dst, size_t n)
{
	struct shard *sh = session_shard(t, session_id);
	const char *user = NULL;

	pthread_mutex_lock(&sh->lock);
	for (struct session *s = session_head(sh, session_id); s != NULL && user == NULL;
	     s = session_same(s))
		user = session_info_user(&s->info);
	if (user != NULL)
		snprintf(dst, n, "%s", user);
	pthread_mutex_unlock(&sh->lock);
	return user != NULL;
}

bool
sesstab_has(struct sesstab *t, uint64_t session_id, const struct node *node)
{
	struct shard *sh = session_shard(t, session_id);
	bool has;

	pthread_mutex_lock(&sh->lock);
	has = session_find(sh, session_id, node) != NULL;
	pthread_mutex_unlock(&sh->lock);
	return has;
}

bool
sesstab_elsewhere(struct sesstab *t, uint64_t session_id, const struct node *node, bool intercept)
{
	struct shard *sh = session_shard(t, session_id);
	bool other = false, here = false;

	pthread_mutex_lock(&sh->lock);
	for (struct session *s = session_head(sh, session_id); s != NULL; s = session_same(s)) {
		if (s->info.node == node)
			here = true;
		else if (node_same_cluster(s->info.node, node, intercept))
			other = true;
	}
	pthread_mutex_unlock(&sh->lock);
	return other && !here;
}
