/* last.c: the address from which each client came last, while its claim may linger */
#include "config.h"

#include "nodes/last.h"

#include "base/addr.h"
#include "state/state.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Who comes to a full table takes the place of who came first. 6 MiB, if it is full. */
#define LASTS_MAX 131072
#define BUCKETS 32768

struct last {
	struct state_key key;
	struct addrport client;
	uint32_t next;			/* of its bucket: its number; 0: none */
};

/* In the order in which they came, so that few of them are on few pages. */
struct lasts {
	pthread_mutex_t lock;		/* a leaf */
	uint32_t n, at;			/* how many there are, and who came last */
	uint32_t buckets[BUCKETS];
	struct last all[LASTS_MAX + 1];	/* by number; [0] is not used */
};

/* GUIDs may differ in any few bytes. */
static uint32_t *
bucket_of(struct lasts *l, const struct state_key *key)
{
	uint64_t half[2], mixed;

	memcpy(half, key->b + 1, sizeof(half));
	mixed = (half[0] ^ half[1] * 0x9e3779b97f4a7c15ull ^ state_key_cluster(key)) *
	    0xff51afd7ed558ccdull;
	return &l->buckets[(mixed >> 40) % BUCKETS];
}

static struct last *
find(struct lasts *l, const struct state_key *key)
{
	for (uint32_t i = *bucket_of(l, key); i != 0; i = l->all[i].next)
		if (memcmp(l->all[i].key.b, key->b, sizeof(key->b)) == 0)
			return &l->all[i];
	return NULL;
}

static void
forget(struct lasts *l, uint32_t i)
{
	uint32_t *link = bucket_of(l, &l->all[i].key);

	while (*link != i)
		link = &l->all[*link].next;
	*link = l->all[i].next;
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
	struct last *x;

	pthread_mutex_lock(&l->lock);
	x = find(l, key);
	if (x == NULL) {
		uint32_t *bucket = bucket_of(l, key);

		l->at = l->at % LASTS_MAX + 1;
		if (l->n == LASTS_MAX)
			forget(l, l->at);
		else
			l->n++;
		x = &l->all[l->at];
		x->key = *key;
		x->next = *bucket;
		*bucket = l->at;
	}
	x->client = *client;
	pthread_mutex_unlock(&l->lock);
}

bool
lasts_find(struct lasts *l, const struct state_key *key, struct addrport *client)
{
	const struct last *x;

	pthread_mutex_lock(&l->lock);
	x = find(l, key);
	if (x != NULL)
		*client = x->client;
	pthread_mutex_unlock(&l->lock);
	return x != NULL;
}
