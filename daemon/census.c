/* census.c: the clients of all workers, put together apart from the thread that asks */
#include "config.h"

#include "daemon/census.h"

#include "base/magic.h"
#include "daemon/connlist.h"
#include "daemon/scribe.h"
#include "inspect/who.h"
#include "proxy/conn.h"

#include <stdlib.h>

#define CENSUS_MAGIC 0x63656e73u

/*
 * Of 100,000 connections there are 100 MB: they are sorted, and given back, on the scribe's thread.
 */
struct census {
	struct scribe_job job;		/* the first member */
	MAGIC_MEMBER
	struct census_env env;
	struct connlist_query *query;	/* the workers are asked */
	census_f done;			/* NULL: whoever asked is gone, or has been told */
	void *arg;
	bool users, has_who, whole;
	struct who who;
	struct conn_parts *parts;
	struct conn_info *conns;
	struct census_found found;
};

static void
census_empty(struct scribe_job *j)
{
	struct census *c = (struct census *)j;

	clients_fini(&c->found.clients);
	free(c->conns);
	c->conns = NULL;
	conn_parts_free(&c->parts);
}

static void
census_free(struct scribe_job *j, bool dropped)
{
	struct census *c = (struct census *)j;

	(void)dropped;
	MAGIC_CHECK(c, CENSUS_MAGIC);
	census_empty(j);
	MAGIC_CLEAR(c);
	free(c);
}

/* On the scribe's thread. */
static void
census_work(struct scribe_job *j)
{
	struct census *c = (struct census *)j;
	struct census_found *f = &c->found;

	c->conns = conn_parts_merge(c->parts, &f->nconns);
	conn_parts_free(&c->parts);
	c->whole = c->conns != NULL && clients_init(&f->clients, c->conns, f->nconns) == 0;
	if (c->whole && c->users)
		clients_users(&f->clients, c->env.sessions);
	if (c->whole && c->has_who)
		f->nmeant = clients_mean(&f->clients, c->env.sessions, &c->who);
}

static void
census_done(struct scribe_job *j, bool dropped)
{
	struct census *c = (struct census *)j;

	MAGIC_CHECK(c, CENSUS_MAGIC);
	if (c->done != NULL)
		c->done(c->arg, c->whole && !dropped ? &c->found : NULL);
	c->job = (struct scribe_job){ .work = census_empty, .done = census_free };
	if (dropped || !scribe_ask(c->env.scribe, &c->job))
		census_free(&c->job, true);
}

static void
listed_by_workers(void *arg, struct conn_parts *parts)
{
	struct census *c = arg;

	MAGIC_CHECK(c, CENSUS_MAGIC);
	c->query = NULL;
	c->parts = parts;
	c->job = (struct scribe_job){ .work = census_work, .done = census_done };
	if (!scribe_ask(c->env.scribe, &c->job)) {
		census_work(&c->job);
		census_done(&c->job, false);
	}
}

struct census *
census_ask(const struct census_env *env, bool users, const struct who *who, census_f done,
    void *arg, const char **why_r)
{
	struct census *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		*why_r = "out of memory";
		return NULL;
	}
	MAGIC_SET(c, CENSUS_MAGIC);
	c->env = *env;
	c->done = done;
	c->arg = arg;
	c->users = users;
	c->has_who = who != NULL;
	if (who != NULL)
		c->who = *who;
	c->query = connlist_take(env->connlist, NULL, listed_by_workers, c, why_r);
	if (c->query != NULL)
		return c;
	census_free(&c->job, true);
	return NULL;
}

void
census_forget(struct census **cp)
{
	struct census *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	c->done = NULL;
	if (c->query == NULL) {
		scribe_forget(c->env.scribe, &c->job);
		return;
	}
	connlist_forget(&c->query);
	census_free(&c->job, true);
}
