/* session_opens.c: the open files of the sessions in the table */
#include "config.h"

#include "inspect/opens.h"
#include "inspect/session.h"
#include "inspect/session_rows.h"

/* The shard of a channel's session, locked: another channel may be another worker's. */
static struct shard *
shard_lock(struct sesstab *t, const struct channel *c)
{
	struct shard *sh = session_shard(t, c->session->info.session_id);

	pthread_mutex_lock(&sh->lock);
	return sh;
}

int
channel_opened(struct sesstab *t, struct channel *c, uint32_t tree)
{
	struct shard *sh = shard_lock(t, c);
	const unsigned before = opens_total(c->session->opens);
	int r = opens_opened(&c->session->opens, tree);

	session_count_files(sh, c->session, before);
	pthread_mutex_unlock(&sh->lock);
	return r;
}

void
channel_closed(struct sesstab *t, struct channel *c, uint32_t tree)
{
	struct shard *sh = shard_lock(t, c);
	const unsigned before = opens_total(c->session->opens);

	opens_closed(c->session->opens, tree);
	session_count_files(sh, c->session, before);
	pthread_mutex_unlock(&sh->lock);
}

void
channel_disconnected(struct sesstab *t, struct channel *c, uint32_t tree)
{
	struct shard *sh = shard_lock(t, c);
	const unsigned before = opens_total(c->session->opens);

	opens_disconnected(c->session->opens, tree);
	session_count_files(sh, c->session, before);
	pthread_mutex_unlock(&sh->lock);
}

static unsigned
files(struct sesstab *t, const struct channel *c, bool shown)
{
	struct shard *sh = shard_lock(t, c);
	const bool counts = !atomic_load_explicit(&c->session->over, memory_order_relaxed) &&
	    (!shown || SLIST_FIRST(&c->session->channels) == c);
	unsigned n = counts ? opens_total(c->session->opens) : 0;

	pthread_mutex_unlock(&sh->lock);
	return n;
}

unsigned
channel_files(struct sesstab *t, const struct channel *c)
{
	return files(t, c, false);
}

unsigned
channel_files_shown(struct sesstab *t, const struct channel *c)
{
	return files(t, c, true);
}
