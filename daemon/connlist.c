/* connlist.c: the connections of all workers, asked for and put together as one list */
#include "config.h"

#include "daemon/connlist.h"

#include "base/log.h"
#include "base/magic.h"
#include "proxy/conn.h"
#include "proxy/mailbox.h"
#include "proxy/worker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define CONNLIST_PART_MAGIC 0x434c5054u

/* The connections of one worker: filled in on its thread, handed over by the mailbox. */
struct connlist_part {
	MAGIC_MEMBER
	struct connlist_query *query;
	struct conn_info *list;
	size_t n;
};

struct connlist_query {
	struct connlist *owner;
	connlist_done_f done;	/* NULL: whoever asked is gone */
	void *arg;
	size_t missing;
	LIST_ENTRY(connlist_query) entry;
	size_t nparts;
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

static void
query_free(struct connlist_query *q)
{
	LIST_REMOVE(q, entry);
	q->owner->nqueries--;
	for (size_t i = 0; i < q->nparts; i++) {
		MAGIC_CLEAR(&q->parts[i]);
		free(q->parts[i].list);
	}
	free(q);
}

/* All parts as one list, for the caller to free; NULL when memory is out, here or at a worker. */
static struct conn_info *
query_merge(const struct connlist_query *q, size_t *n_r)
{
	struct conn_info *all;
	size_t n = 0;

	*n_r = 0;
	for (size_t i = 0; i < q->nparts; i++) {
		if (q->parts[i].list == NULL)
			return NULL;
		n += q->parts[i].n;
	}
	all = calloc(n + 1, sizeof(*all));
	for (size_t i = 0; all != NULL && i < q->nparts; i++) {
		memcpy(all + *n_r, q->parts[i].list, q->parts[i].n * sizeof(*all));
		*n_r += q->parts[i].n;
	}
	return all;
}

/* On the thread of the mailbox. */
static void
part_arrived(void *arg)
{
	struct connlist_part *part = arg;
	struct connlist_query *q;
	struct conn_info *all;
	size_t n;

	MAGIC_CHECK(part, CONNLIST_PART_MAGIC);
	q = part->query;
	if (--q->missing > 0)
		return;
	if (q->done != NULL) {
		all = query_merge(q, &n);
		q->done(q->arg, all, n);
		free(all);
	}
	query_free(q);
}

/* On the worker's thread. */
static void
part_done(void *arg, struct conn_info *list, size_t n)
{
	struct connlist_part *part = arg;

	MAGIC_CHECK(part, CONNLIST_PART_MAGIC);
	part->list = list;
	part->n = n;
	/* The query then stays until connlist_free(); who asked has a deadline of their own. */
	if (mailbox_post(part->query->owner->mailbox, part_arrived, part) == -1)
		log_error("out of memory: a worker's list of connections is lost");
}

struct connlist_query *
connlist_ask(struct connlist *l, connlist_done_f done, void *arg, const char **why_r)
{
	struct connlist_query *q;

	if (l->nqueries >= CONNLIST_QUERIES_MAX) {
		*why_r = "the workers have not answered earlier requests yet";
		return NULL;
	}
	q = calloc(1, sizeof(*q) + l->nworkers * sizeof(q->parts[0]));
	if (q == NULL) {
		*why_r = "out of memory";
		return NULL;
	}
	q->owner = l;
	q->done = done;
	q->arg = arg;
	q->missing = q->nparts = l->nworkers;
	LIST_INSERT_HEAD(&l->queries, q, entry);
	l->nqueries++;
	for (size_t i = 0; i < q->nparts; i++) {
		q->parts[i].query = q;
		MAGIC_SET(&q->parts[i], CONNLIST_PART_MAGIC);
		worker_describe(l->workers[i], part_done, &q->parts[i]);
	}
	return q;
}

void
connlist_forget(struct connlist_query **q)
{
	if (*q != NULL)
		(*q)->done = NULL;
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
