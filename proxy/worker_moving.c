/* worker_moving.c: what a worker is told when another process goes on, done on its loop */
#include "config.h"

#include "proxy/worker.h"

#include "base/log.h"
#include "proxy/listen.h"
#include "proxy/lost.h"
#include "proxy/mailbox.h"
#include "proxy/taking.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOVE_MAGIC 0x6d6f7665u

struct move {
	MAGIC_MEMBER
	struct worker *w;
	bool on;
	uint64_t number;
	giving_f report;
	void *arg;
	size_t nfds;
	int fds[];
};

static struct move *
moving_new(struct worker *w, const int *fds, size_t n)
{
	struct move *m = calloc(1, sizeof(*m) + n * sizeof(fds[0]));

	if (m == NULL)
		return NULL;
	MAGIC_SET(m, MOVE_MAGIC);
	m->w = w;
	m->nfds = n;
	if (n > 0)
		memcpy(m->fds, fds, n * sizeof(fds[0]));
	return m;
}

static void
move_free(struct move *m)
{
	MAGIC_CLEAR(m);
	free(m);
}

/* m NULL, or no room to post it: what it carries is lost, and whoever waits for it times out. */
static void
move_post(struct move *m, void (*call)(void *arg))
{
	if (m != NULL && mailbox_post(m->w->mailbox, call, m) == 0)
		return;
	log_error("out of memory: an order to a worker is lost");
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->nfds; i++)
		close(m->fds[i]);
	move_free(m);
}

static void
listen_on(struct worker *w, bool on)
{
	for (size_t i = 0; i < w->nlisteners; i++)
		if (on)
			listener_go_on(w->listeners[i]);
		else
			listener_pause(w->listeners[i]);
}

static void
listen_call(void *arg)
{
	struct move *m = arg;

	MAGIC_CHECK(m, MOVE_MAGIC);
	listen_on(m->w, m->on);
	move_free(m);
}

void
worker_listen(struct worker *w, bool on)
{
	struct move *m = moving_new(w, NULL, 0);

	if (m != NULL)
		m->on = on;
	move_post(m, listen_call);
}

static void
give_call(void *arg)
{
	static const struct giving_report failed = { .broken = true, .why = "out of memory" };
	struct move *m = arg;
	struct worker *w = m->w;

	MAGIC_CHECK(m, MOVE_MAGIC);
	listen_on(w, false);
	giving_free(&w->giving);
	/* Who is to end does not get away. */
	lost_finish(w->env.lost);
	w->env.mediate.leaving = true;
	w->giving = giving_new(&w->env, m->fds, m->nfds, m->report, m->arg);
	if (w->giving == NULL)
		m->report(m->arg, &failed);
	move_free(m);
}

void
worker_give(struct worker *w, const int *fds, size_t n, giving_f report, void *arg)
{
	struct move *m = moving_new(w, fds, n);

	if (m != NULL) {
		m->report = report;
		m->arg = arg;
	}
	move_post(m, give_call);
}

static void
say_call(void *arg)
{
	struct move *m = arg;

	MAGIC_CHECK(m, MOVE_MAGIC);
	if (m->w->giving != NULL)
		giving_say(m->w->giving, m->number);
	move_free(m);
}

void
worker_say(struct worker *w, uint64_t asked)
{
	struct move *m = moving_new(w, NULL, 0);

	if (m != NULL)
		m->number = asked;
	move_post(m, say_call);
}

static void
keep_call(void *arg)
{
	struct move *m = arg;

	MAGIC_CHECK(m, MOVE_MAGIC);
	giving_free(&m->w->giving);
	m->w->env.mediate.leaving = false;
	listen_on(m->w, true);
	move_free(m);
}

void
worker_keep(struct worker *w)
{
	move_post(moving_new(w, NULL, 0), keep_call);
}

static void
take_call(void *arg)
{
	struct move *m = arg;

	MAGIC_CHECK(m, MOVE_MAGIC);
	if (taking_add(&m->w->taking, &m->w->env, m->fds[0]) == -1)
		log_error("out of memory: worker %u takes nothing over", m->w->index);
	move_free(m);
}

void
worker_take(struct worker *w, int fd)
{
	move_post(moving_new(w, &fd, 1), take_call);
}

static void
number_call(void *arg)
{
	struct move *m = arg;
	struct conn_env *env = &m->w->env;

	MAGIC_CHECK(m, MOVE_MAGIC);
	/* Each worker counts in its own class of numbers. */
	while (env->next_id <= m->number)
		env->next_id += (m->number - env->next_id) / env->id_step * env->id_step +
		    env->id_step;
	move_free(m);
}

void
worker_number(struct worker *w, uint64_t beyond)
{
	struct move *m = moving_new(w, NULL, 0);

	if (m != NULL)
		m->number = beyond;
	move_post(m, number_call);
}
