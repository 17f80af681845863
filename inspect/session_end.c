/* session_end.c: sessions that are over, said by their node in one way or another */
#include "config.h"

#include "inspect/session.h"
#include "auth/keys.h"
#include "inspect/session_rows.h"

#include <string.h>
#include <strings.h>

bool
sesstab_end(struct sesstab *t, uint64_t session_id, const struct node *node)
{
	struct shard *sh = session_shard(t, session_id);
	struct session *s;

	pthread_mutex_lock(&sh->lock);
	s = session_find(sh, session_id, node);
	if (s != NULL)
		session_end(t, sh, s, 0);
	pthread_mutex_unlock(&sh->lock);
	return s != NULL;
}

bool
sesstab_end_of(struct sesstab *t, uint64_t session_id, const struct node *node,
    const uint8_t signing_key[16])
{
	struct shard *sh = session_shard(t, session_id);
	struct session *s;
	bool over;

	pthread_mutex_lock(&sh->lock);
	s = session_find(sh, session_id, node);
	over = s != NULL && s->keys != NULL &&
	    memcmp(s->keys->signing.key, signing_key, sizeof(s->keys->signing.key)) == 0;
	if (over)
		session_end(t, sh, s, 0);
	pthread_mutex_unlock(&sh->lock);
	return over;
}

bool
channel_end(struct sesstab *t, struct channel *c)
{
	struct session *s = c->session;
	struct shard *sh = session_shard(t, s->info.session_id);
	bool first;

	pthread_mutex_lock(&sh->lock);
	first = !atomic_load_explicit(&s->over, memory_order_relaxed);
	if (first)
		session_end(t, sh, s, 1);
	pthread_mutex_unlock(&sh->lock);
	return first;
}

/* A session without keys has nothing to lose by it: there its client's GUID is enough. */
static bool
same_user(const struct session *old, const struct session_info *si)
{
	if (old->keys == NULL)
		return !guid_is_zero(&si->client_guid) &&
		    guid_equal(&old->info.client_guid, &si->client_guid);
	return si->keyed && si->principal != NULL && old->info.principal != NULL &&
	    strcasecmp(si->principal, old->info.principal) == 0;
}

bool
sesstab_replaced(struct sesstab *t, uint64_t previous, const struct session_info *si)
{
	struct shard *sh = session_shard(t, previous);
	struct session *s;
	bool again, over;

	pthread_mutex_lock(&sh->lock);
	s = session_find(sh, previous, si->node);
	again = s != NULL && atomic_load_explicit(&s->again, memory_order_relaxed);
	over = s != NULL && !again && same_user(s, si);
	if (again)
		atomic_store_explicit(&s->doubted, true, memory_order_relaxed);
	if (over)
		session_end(t, sh, s, 0);
	pthread_mutex_unlock(&sh->lock);
	return over;
}

unsigned
sesstab_ended(const struct sesstab *t)
{
	return atomic_load_explicit(&t->ended, memory_order_acquire);
}

void
channel_doubt(struct channel *c, bool doubted)
{
	atomic_store_explicit(&c->session->doubted, doubted, memory_order_relaxed);
}

bool
channel_doubted(const struct channel *c)
{
	return atomic_load_explicit(&c->session->doubted, memory_order_relaxed);
}
