/* session_tally.c: the table of sessions, counted, and the newest of them */
#include "config.h"

#include "inspect/session_tally.h"

#include "inspect/caller.h"
#include "inspect/session_rows.h"

#include <stdio.h>
#include <string.h>

static void
add_row(struct session_tally *rows, size_t n, const struct session_tally *more)
{
	for (size_t i = 0; i < n; i++) {
		if (rows[i].node != more->node)
			continue;
		rows[i].files += more->files;
		for (int p = 0; p < SESSION_PROTECTIONS; p++) {
			rows[i].sessions[p] += more->sessions[p];
			rows[i].channels[p] += more->channels[p];
		}
	}
}

void
sesstab_tally(struct sesstab *t, struct session_tally *rows, size_t n)
{
	for (int i = 0; i < SESSION_SHARDS; i++) {
		struct shard *sh = &t->shard[i];

		pthread_mutex_lock(&sh->lock);
		for (size_t k = 0; k < sh->ntally; k++)
			add_row(rows, n, &sh->tally[k]);
		pthread_mutex_unlock(&sh->lock);
	}
}

size_t
sesstab_count(struct sesstab *t)
{
	size_t n = 0;

	for (int i = 0; i < SESSION_SHARDS; i++) {
		struct shard *sh = &t->shard[i];

		pthread_mutex_lock(&sh->lock);
		for (size_t k = 0; k < sh->ntally; k++)
			for (int p = 0; p < SESSION_PROTECTIONS; p++)
				n += sh->tally[k].sessions[p];
		pthread_mutex_unlock(&sh->lock);
	}
	return n;
}

static struct session_newest
describe(const struct session *s)
{
	const struct session_info *si = &s->info;
	struct session_newest x = {
		.node = si->node,
		.since_ms = si->since_ms,
		.dialect = si->dialect,
		.protection = session_protection(si),
		.channels = s->nchannels,
		.client = SLIST_FIRST(&s->channels)->ends->client,
		.guest = si->guest || si->anonymous,
	};

	/* Known for sure, or what the client says. */
	if (si->principal != NULL || si->by != NULL)
		snprintf(x.principal, sizeof(x.principal), "%s",
		    si->principal != NULL ? si->principal : si->by->user);
	return x;
}

/* Takes its place in the order, if it is newer than one that is there. */
static size_t
insert(struct session_newest *newest, size_t n, size_t max, const struct session *s)
{
	size_t at = n;

	while (at > 0 && newest[at - 1].since_ms < s->info.since_ms)
		at--;
	if (at == max)
		return n;
	n += n < max;
	memmove(&newest[at + 1], &newest[at], (n - at - 1) * sizeof(*newest));
	newest[at] = describe(s);
	return n;
}

size_t
sesstab_newest(struct sesstab *t, struct session_newest *newest, size_t max)
{
	size_t n = 0;

	for (int i = 0; i < SESSION_SHARDS; i++) {
		struct shard *sh = &t->shard[i];
		const struct session *s;

		pthread_mutex_lock(&sh->lock);
		s = LIST_FIRST(&sh->all);
		for (size_t k = 0; k < max && s != NULL; k++, s = LIST_NEXT(s, entry))
			n = insert(newest, n, max, s);
		pthread_mutex_unlock(&sh->lock);
	}
	return n;
}
