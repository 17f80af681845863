/* vc_index.c: who is to end for a VcNumber 0: a worker's connections by their client */
#include "config.h"

#include "proxy/vc_index.h"

#include "inspect/vc_reset.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"

#include <stdlib.h>
#include <sys/queue.h>

#define BUCKETS_MIN 64

struct vc_entry {
	LIST_ENTRY(vc_entry) entry;
	uint64_t key;			/* vc_reset_key(); not 0 */
	struct conn *conn;
};

LIST_HEAD(vc_bucket, vc_entry);

struct vc_index {
	struct vc_bucket *buckets;
	size_t nbuckets, n;
};

struct vc_index *
vc_index_new(void)
{
	return calloc(1, sizeof(struct vc_index));
}

void
vc_index_free(struct vc_index **x)
{
	if (*x != NULL)
		free((*x)->buckets);
	free(*x);
	*x = NULL;
}

static struct vc_bucket *
bucket_of(const struct vc_index *x, uint64_t key)
{
	return &x->buckets[key & (x->nbuckets - 1)];
}

enum pol_vc_reset
vc_index_how(const struct conn *c)
{
	return mediate_rules(&c->mediate)->vc_reset;
}

uint64_t
vc_index_key(const struct conn *c)
{
	return vc_reset_key(c->env->policy, vc_index_how(c), c->env->mediate.hash,
	    &c->mediate.self.client.addr, &c->mediate.identity, route_cluster(&c->route));
}

/* Where memory is out it stays as it is, if it is there at all. */
static void
index_grow(struct vc_index *x)
{
	struct vc_index bigger = { .nbuckets = x->nbuckets == 0 ? BUCKETS_MIN : 2 * x->nbuckets,
		.n = x->n };
	struct vc_entry *e;

	bigger.buckets = calloc(bigger.nbuckets, sizeof(*bigger.buckets));
	if (bigger.buckets == NULL)
		return;
	for (size_t i = 0; i < x->nbuckets; i++) {
		while ((e = LIST_FIRST(&x->buckets[i])) != NULL) {
			LIST_REMOVE(e, entry);
			LIST_INSERT_HEAD(bucket_of(&bigger, e->key), e, entry);
		}
	}
	free(x->buckets);
	*x = bigger;
}

void
vc_index_take(struct conn *c)
{
	if (c->vc == NULL)
		return;
	LIST_REMOVE(c->vc, entry);
	c->env->vc->n--;
	free(c->vc);
	c->vc = NULL;
}

void
vc_index_put(struct conn *c)
{
	struct vc_index *x = c->env->vc;
	const uint64_t key = vc_index_key(c);

	if (c->vc != NULL && c->vc->key == key)
		return;
	vc_index_take(c);
	if (key == 0)
		return;
	if (x->n >= x->nbuckets)
		index_grow(x);
	if (x->nbuckets == 0 || (c->vc = malloc(sizeof(*c->vc))) == NULL)
		return;
	*c->vc = (struct vc_entry){ .key = key, .conn = c };
	LIST_INSERT_HEAD(bucket_of(x, key), c->vc, entry);
	x->n++;
}

void
vc_index_policy(struct conn_env *env)
{
	struct conn *c;

	TAILQ_FOREACH(c, &env->conns, entry)
		if (c->mediate.track.logged_on)
			vc_index_put(c);
}

void
vc_index_reset(struct conn_env *env, const struct vc_reset *r)
{
	struct vc_entry *e, *next;

	if (env->vc->nbuckets == 0)
		return;
	for (e = LIST_FIRST(bucket_of(env->vc, r->key)); e != NULL; e = next) {
		struct conn *c = e->conn;

		next = LIST_NEXT(e, entry);
		if (e->key == r->key && c->mediate.self.conn_id != r->by &&
		    c->accepted_ms < r->before_ms && !conn_over(c))
			env->ops->kill(c, CLOSE_VC_RESET);
	}
}
