/* session_each.c: the table of sessions, copied out for whoever looks at all of it */
#include "config.h"

#include "inspect/caller.h"
#include "inspect/session.h"
#include "inspect/session_rows.h"
#include "inspect/who.h"

#include <stdlib.h>

/*
 * Sessions that are copied out at once. Whoever shows them is a thread that gives way to others,
 * perhaps while it has the lock; then everybody waits whose session is of that shard.
 */
#define EACH_STEP 16

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
	SLIST_FOREACH(c, &s->channels, entry)
		dst->channels[dst->n++] = (struct channel_info){ *c->ends, c->bound };
	return 0;
}

bool
channel_is_of(struct sesstab *t, const struct channel *c, const struct who *w)
{
	const struct session_info *si = &c->session->info;
	struct shard *sh = session_shard(t, si->session_id);
	bool is;

	pthread_mutex_lock(&sh->lock);
	is = who_is_session(w, si->session_id) || who_is_user(w, si->principal) ||
	    (si->by != NULL && who_is_user(w, si->by->user));
	pthread_mutex_unlock(&sh->lock);
	return is;
}

/* The next few; how many. Its shard is locked. */
static size_t
copy_some(struct session_cursor *k, struct copy some[EACH_STEP])
{
	size_t n = 0;

	for (int looked = 0; k->next != NULL && looked < EACH_STEP; looked++) {
		const struct session *s = k->next;

		k->next = LIST_NEXT(s, entry);
		n += copy_session(s, &some[n]) == 0;
	}
	return n;
}

static void
copy_fini(struct copy *c)
{
	free(c->channels);
	session_info_fini(&c->info);
}

static void
shard_each(struct shard *sh, void (*f)(void *arg, const struct session_info *,
    const struct channel_info *, size_t nchannels), void *arg)
{
	struct copy some[EACH_STEP];
	struct session_cursor k;
	bool more = true;

	pthread_mutex_lock(&sh->lock);
	k.next = LIST_FIRST(&sh->all);
	LIST_INSERT_HEAD(&sh->cursors, &k, entry);
	while (more) {
		size_t n = copy_some(&k, some);

		more = k.next != NULL;
		if (!more)
			LIST_REMOVE(&k, entry);
		pthread_mutex_unlock(&sh->lock);
		for (size_t i = 0; i < n; i++) {
			f(arg, &some[i].info, some[i].channels, some[i].n);
			copy_fini(&some[i]);
		}
		if (more)
			pthread_mutex_lock(&sh->lock);
	}
}

void
sesstab_each(struct sesstab *t, void (*f)(void *arg, const struct session_info *,
    const struct channel_info *, size_t nchannels), void *arg)
{
	for (int i = 0; i < SESSION_SHARDS; i++)
		shard_each(&t->shard[i], f, arg);
}
