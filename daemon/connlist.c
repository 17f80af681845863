/* connlist.c: the connections of all workers, asked for and put together as one list */
#include "config.h"

#include "daemon/connlist.h"

#include "base/log.h"
#include "base/magic.h"
#include "inspect/filter.h"
#include "proxy/conn.h"
#include "proxy/mailbox.h"
#include "proxy/worker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define CONNLIST_PART_MAGIC 0x434c5054u

struct conn_parts {
	size_t n;
	struct {
		struct conn_info *list;
		size_t n;
	} part[];
};

/* Where a worker's connections go: filled in on its thread, handed over by the mailbox. */
struct connlist_part {
	MAGIC_MEMBER
	struct connlist_query *query;
	size_t at;
};

struct connlist_query {
	struct connlist *owner;
	connlist_taken_f taken;	/* NULL: whoever asked is gone */
	void *arg;
	struct filter filter;
	struct conn_parts *got;
	size_t missing;
	LIST_ENTRY(connlist_query) entry;
	struct connlist_part parts[];
};

struct connlist {
	struct mailbox *mailbox;
	struct worker *const *workers;
	size_t nworkers;
	size_t nqueries;
	LIST_HEAD(, connlist_query) queries;
};

struct connlist *
connlist_new(struct mailbox *mailbox, struct worker *const *workers, size_t nworkers)
{
	struct connlist *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->mailbox = mailbox;
	l->workers = workers;
	l->nworkers = nworkers;
	LIST_INIT(&l->queries);
	return l;
}

void
conn_parts_free(struct conn_parts **pp)
{
	struct conn_parts *p = *pp;

	for (size_t i = 0; p != NULL && i < p->n; i++)
		free(p->part[i].list);
	free(p);
	*pp = NULL;
}

struct conn_info *
conn_parts_merge(const struct conn_parts *p, size_t *n_r)
{
	struct conn_info *all;
	size_t n = 0;

	*n_r = 0;
	for (size_t i = 0; i < p->n; i++) {
		if (p->part[i].list == NULL)
			return NULL;
		n += p->part[i].n;
	}
	all = calloc(n + 1, sizeof(*all));
	for (size_t i = 0; all != NULL && i < p->n; i++) {
		memcpy(all + *n_r, p->part[i].list, p->part[i].n * sizeof(*all));
		*n_r += p->part[i].n;
	}
	return all;
}

static void
query_free(struct connlist_query *q)
{
	LIST_REMOVE(q, entry);
	q->owner->nqueries--;
	for (size_t i = 0; i < q->owner->nworkers; i++)
		MAGIC_CLEAR(&q->parts[i]);
	conn_parts_free(&q->got);
	free(q);
}

/* On the thread of the mailbox. */
static void
part_arrived(void *arg)
{
	struct connlist_part *part = arg;
	struct connlist_query *q;
	struct conn_parts *got;

	MAGIC_CHECK(part, CONNLIST_PART_MAGIC);
	q = part->query;
	if (--q->missing > 0)
		return;
	if (q->taken != NULL) {
		got = q->got;
		q->got = NULL;
		q->taken(q->arg, got);
	}
	query_free(q);
}

/* On the worker's thread. */
static void
part_done(void *arg, struct conn_info *list, size_t n)
{
	struct connlist_part *part = arg;

	MAGIC_CHECK(part, CONNLIST_PART_MAGIC);
	part->query->got->part[part->at].list = list;
	part->query->got->part[part->at].n = n;
	/* The query then stays until connlist_free(); who asked has a deadline of their own. */
	if (mailbox_post(part->query->owner->mailbox, part_arrived, part) == -1)
		log_error("out of memory: a worker's list of connections is lost");
}

/* NULL: nothing was asked yet. */
static struct connlist_query *
query_new(struct connlist *l, void *arg, const char **why_r)
{
	struct connlist_query *q;

	if (l->nqueries >= CONNLIST_QUERIES_MAX) {
		*why_r = "the workers have not answered earlier requests yet";
		return NULL;
	}
	*why_r = "out of memory";
	q = calloc(1, sizeof(*q) + l->nworkers * sizeof(q->parts[0]));
	if (q == NULL)
		return NULL;
	q->got = calloc(1, sizeof(*q->got) + l->nworkers * sizeof(q->got->part[0]));
	if (q->got == NULL) {
		free(q);
		return NULL;
	}
	q->owner = l;
	q->arg = arg;
	q->missing = q->got->n = l->nworkers;
	LIST_INSERT_HEAD(&l->queries, q, entry);
	l->nqueries++;
	return q;
}

static void
query_start(struct connlist_query *q, const struct filter *f)
{
	struct connlist *l = q->owner;

	if (f != NULL)
		q->filter = *f;
	for (size_t i = 0; i < l->nworkers; i++) {
		q->parts[i].query = q;
		q->parts[i].at = i;
		MAGIC_SET(&q->parts[i], CONNLIST_PART_MAGIC);
		worker_describe(l->workers[i], f == NULL ? NULL : &q->filter, part_done,
		    &q->parts[i]);
	}
}

struct connlist_query *
connlist_take(struct connlist *l, const struct filter *f, connlist_taken_f taken, void *arg,
    const char **why_r)
{
	struct connlist_query *q = query_new(l, arg, why_r);

	if (q == NULL)
		return NULL;
	q->taken = taken;
	query_start(q, f);
	return q;
}

void
connlist_forget(struct connlist_query **q)
{
	if (*q != NULL)
		(*q)->taken = NULL;
	*q = NULL;
}

void
connlist_free(struct connlist **lp)
{
	struct connlist *l = *lp;

	if (l == NULL)
		return;
	while (!LIST_EMPTY(&l->queries))
		query_free(LIST_FIRST(&l->queries));
	free(l);
	*lp = NULL;
}
