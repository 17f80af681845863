/* describe.c: the connections of a worker as people see them, a few in each turn of its loop */
#include "config.h"

#include "proxy/describe.h"

#include "base/magic.h"
#include "inspect/filter.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"

#include <stdlib.h>

#include <event2/event.h>

/* A fraction of a millisecond: clients are not to notice that somebody looks. */
#define STEP 64

#define DESCRIBING_MAGIC 0xde5c21b3u

struct describing {
	MAGIC_MEMBER
	struct conn_cursor at;
	struct event *turn;
	const struct filter *filter;	/* NULL: all are wanted */
	struct conn_info *list;
	size_t n, room;
	described_f done;
	void *arg;
};

static void
describing_free(struct describing *d)
{
	LIST_REMOVE(&d->at, entry);
	if (d->turn != NULL)
		event_free(d->turn);
	free(d->list);
	MAGIC_CLEAR(d);
	free(d);
}

static void
describing_end(struct describing *d, bool whole)
{
	struct conn_info *list = d->list;

	if (!whole) {
		d->done(d->arg, NULL, 0);
	} else {
		d->list = NULL;
		d->done(d->arg, list, d->n);
	}
	describing_free(d);
}

/* Is it one that was asked for? Those that are not are left out before they take up room. */
static bool
is_asked_for(const struct filter *f, const struct conn_info *info)
{
	if (f == NULL)
		return true;
	return filter_node(f, info->node) &&
	    (f->clients || (info->ends_wanted && info->session_wanted));
}

/* -1: memory is out. */
static int
add_info(struct describing *d, const struct conn *c)
{
	struct conn_info *info;

	if (d->n == d->room) {
		size_t room = 2 * d->room;
		struct conn_info *list = realloc(d->list, room * sizeof(*list));

		if (list == NULL)
			return -1;
		d->list = list;
		d->room = room;
	}
	info = &d->list[d->n];
	conn_describe(c, d->filter, info);
	d->n += is_asked_for(d->filter, info);
	return 0;
}

/* The next ones; those that were accepted meanwhile are at the end, and may be among them. */
static void
describe_step(struct describing *d)
{
	const struct timeval now = { 0, 0 };

	for (int i = 0; i < STEP && d->at.next != NULL; i++) {
		struct conn *c = d->at.next;

		d->at.next = TAILQ_NEXT(c, entry);
		if (add_info(d, c) == -1) {
			describing_end(d, false);
			return;
		}
	}
	if (d->at.next == NULL)
		describing_end(d, true);
	else if (event_add(d->turn, &now) == -1)
		describing_end(d, false);
}

static void
describe_turn_cb(evutil_socket_t fd, short what, void *arg)
{
	struct describing *d = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(d, DESCRIBING_MAGIC);
	describe_step(d);
}

void
describe_start(struct conn_env *env, const struct filter *f, described_f done, void *arg)
{
	struct describing *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		done(arg, NULL, 0);
		return;
	}
	MAGIC_SET(d, DESCRIBING_MAGIC);
	d->filter = f;
	d->done = done;
	d->arg = arg;
	d->room = STEP;
	d->list = malloc(d->room * sizeof(*d->list));
	d->turn = evtimer_new(env->base, describe_turn_cb, d);
	d->at.next = f != NULL && f->nobody ? NULL : TAILQ_FIRST(&env->conns);
	d->at.whose = d;
	LIST_INSERT_HEAD(&env->cursors, &d->at, entry);
	if (d->list == NULL || d->turn == NULL)
		describing_end(d, false);
	else
		describe_step(d);
}

void
describe_drop(struct conn_env *env)
{
	while (!LIST_EMPTY(&env->cursors))
		describing_free(LIST_FIRST(&env->cursors)->whose);
}
