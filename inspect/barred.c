/* barred.c: pure: sessions that the node has opened, and the policy has not */
#include "config.h"

#include "inspect/barred.h"

#include <stdlib.h>

struct barred {
	unsigned n;
	uint64_t session_id[];
};

int
barred_add(struct barred **all, uint64_t session_id)
{
	const unsigned n = barred_count(*all);
	struct barred *more;

	if (barred_has(*all, session_id))
		return 0;
	if (n == BARRED_MAX)
		return -1;
	more = realloc(*all, sizeof(*more) + (n + 1) * sizeof(more->session_id[0]));
	if (more == NULL)
		return -1;
	more->session_id[n] = session_id;
	more->n = n + 1;
	*all = more;
	return 0;
}

void
barred_drop(struct barred **all, uint64_t session_id)
{
	struct barred *b = *all;

	for (unsigned i = 0; i < barred_count(b); i++) {
		if (b->session_id[i] != session_id)
			continue;
		b->session_id[i] = b->session_id[--b->n];
		if (b->n == 0)
			barred_free(all);
		return;
	}
}

bool
barred_has(const struct barred *all, uint64_t session_id)
{
	for (unsigned i = 0; i < barred_count(all); i++)
		if (all->session_id[i] == session_id)
			return true;
	return false;
}

unsigned
barred_count(const struct barred *all)
{
	return all == NULL ? 0 : all->n;
}

uint64_t
barred_at(const struct barred *all, unsigned i)
{
	return all->session_id[i];
}

void
barred_free(struct barred **all)
{
	free(*all);
	*all = NULL;
}
