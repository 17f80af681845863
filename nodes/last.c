/* last.c: the address from which each client came last, while its claim may linger */
#include "config.h"

#include "nodes/last.h"

#include "base/addr.h"
#include "state/state.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Sets of a few: who comes to a full one takes the place of who came first. 8 MiB, if all are. */
#define SETS 32768
#define WAYS 4

struct last {
	struct state_key key;		/* all zeros: none */
	struct addrport client;
};

struct lasts {
	pthread_mutex_t lock;		/* a leaf */
	struct last sets[SETS][WAYS];
};

/* GUIDs may differ in any few bytes. */
static struct last *
set_of(struct lasts *l, const struct state_key *key)
{
	uint64_t half[2], mixed;

	memcpy(half, key->b + 1, sizeof(half));
	mixed = (half[0] ^ half[1] * 0x9e3779b97f4a7c15ull ^ state_key_cluster(key)) *
	    0xff51afd7ed558ccdull;
	return l->sets[(mixed >> 40) % SETS];
}

static struct last *
find(struct last *set, const struct state_key *key)
{
	for (int i = 0; i < WAYS; i++)
		if (memcmp(set[i].key.b, key->b, sizeof(key->b)) == 0)
			return &set[i];
	return NULL;
}

struct lasts *
lasts_new(void)
{
	struct lasts *l = calloc(1, sizeof(*l));

	if (l != NULL)
		pthread_mutex_init(&l->lock, NULL);
	return l;
}

void
lasts_free(struct lasts **lp)
{
	struct lasts *l = *lp;

	if (l == NULL)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
	*lp = NULL;
}

void
lasts_note(struct lasts *l, const struct state_key *key, const struct addrport *client)
{
	struct last *set = set_of(l, key), *x;

	pthread_mutex_lock(&l->lock);
	x = find(set, key);
	if (x == NULL) {
		memmove(&set[1], &set[0], (WAYS - 1) * sizeof(*set));
		x = &set[0];
	}
	*x = (struct last){ *key, *client };
	pthread_mutex_unlock(&l->lock);
}

bool
lasts_find(struct lasts *l, const struct state_key *key, struct addrport *client)
{
	const struct last *x;

	pthread_mutex_lock(&l->lock);
	x = find(set_of(l, key), key);
	if (x != NULL)
		*client = x->client;
	pthread_mutex_unlock(&l->lock);
	return x != NULL;
}
