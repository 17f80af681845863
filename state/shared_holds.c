/* shared_holds.c: connections that hold a claim: who waits, and what they are told */
#include "config.h"

#include "state/shared_priv.h"

#include "base/clock.h"

#include <string.h>

void
hold_claim(const struct state_hold *h, struct state_claim *c)
{
	const struct shared_entry *e = h->e;

	*c = (struct state_claim){ .busy = false };
	if (h->busy || e->phase == LOST || e->phase == UNSURE || e->node == NULL) {
		c->busy = true;
		return;
	}
	c->others = h->others;
	c->firm = e->firm > 0 || e->remote_firm;
	c->fresh = h->fresh;
	c->blind = h->blind;
	memcpy(c->node, e->node->name, sizeof(c->node));
}

/* h is waited for no longer by whoever it was. */
void
hold_unlink(struct shared *m, struct state_hold *h)
{
	if (h->state == HOLD_WAITS)
		TAILQ_REMOVE(&h->e->waiting, h, entry);
	else if (h->state == HOLD_READY)
		TAILQ_REMOVE(&h->port->ready, h, entry);
	if (h->state == HOLD_WAITS || h->state == HOLD_MOVES)
		TAILQ_REMOVE(&m->timed, h, timed);
	h->state = HOLD_IDLE;
}

static void
hold_time(struct shared *m, struct state_hold *h)
{
	struct state_hold *before = TAILQ_LAST(&m->timed, shared_holds);

	/* They come almost in order: all have the same time, but who moves has used some of it. */
	while (before != NULL && before->end_ms > h->end_ms)
		before = TAILQ_PREV(before, shared_holds, timed);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&m->timed, h, timed);
	else
		TAILQ_INSERT_AFTER(&m->timed, before, h, timed);
	/* The keeper has slept without a timer, or with a later one. */
	if (before == NULL)
		wakes_add(&m->wakes, m->wake);
}

void
hold_wait(struct shared *m, struct state_hold *h, enum hold_state state)
{
	if (h->end_ms == 0) {
		h->end_ms = clock_ms() + shared_budget_ms(m);
		h->began_us = clock_us();
	}
	hold_time(m, h);
	if (state == HOLD_WAITS)
		TAILQ_INSERT_TAIL(&h->e->waiting, h, entry);
	h->state = state;
}

/* Its thread is told. */
void
hold_post(struct shared *m, struct state_hold *h)
{
	bool first = TAILQ_EMPTY(&h->port->ready);

	hold_unlink(m, h);
	h->state = HOLD_READY;
	TAILQ_INSERT_TAIL(&h->port->ready, h, entry);
	if (first)
		wakes_add(&m->wakes, h->port->wake);
}

void
hold_refuse(struct shared *m, struct state_hold *h)
{
	h->busy = true;
	atomic_fetch_add(&m->stats.refused, 1);
	hold_post(m, h);
}

/* h has its answer, where e stands. The first one has to decide before others hear anything. */
void
hold_admit(struct shared_entry *e, struct state_hold *h)
{
	h->others = e->answered + e->elsewhere;
	h->fresh = e->fresh;
	h->blind = e->blind;
	h->answered = true;
	e->fresh = e->blind = false;
	e->answered++;
	if (h->others == 0) {
		e->phase = DECIDING;
		e->first = h;
	}
}

/* Those that wait for e to stand are answered, as far as may be. */
void
holds_serve(struct shared *m, struct shared_entry *e)
{
	struct state_hold *h;

	while (e->phase == PLACED && (h = TAILQ_FIRST(&e->waiting)) != NULL) {
		hold_unlink(m, h);
		hold_admit(e, h);
		hold_post(m, h);
	}
	while ((e->phase == UNSURE || e->phase == LOST) && (h = TAILQ_FIRST(&e->waiting)) != NULL)
		hold_refuse(m, h);
}

/* Who has decided, or is gone. */
void
holds_decided(struct shared *m, struct shared_entry *e)
{
	e->first = NULL;
	if (e->phase != DECIDING)
		return;
	e->phase = PLACED;
	holds_serve(m, e);
}
