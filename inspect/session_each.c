/* session_each.c: the table of sessions, copied out for whoever looks at all of it */
#include "config.h"

#include "inspect/caller.h"
#include "inspect/session.h"
#include "inspect/session_rows.h"
#include "inspect/who.h"

#include <stdlib.h>

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

void
sesstab_each(struct sesstab *t, void (*f)(void *arg, const struct session_info *,
    const struct channel_info *, size_t nchannels), void *arg)
{
	for (int i = 0; i < SESSION_SHARDS; i++) {
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
