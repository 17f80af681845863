/* keywait.c: exchanges that wait for smbgate-keyd's answer, and those that are about to be told */
#include "config.h"

#include "auth/keyc_priv.h"

#include "base/clock.h"

#include <event2/event.h>

void
keywait_leave(struct keyx *x)
{
	if (x->on == ON_ASKING)
		TAILQ_REMOVE(&x->c->asking, x, wait);
	else if (x->on == ON_DONE)
		TAILQ_REMOVE(&x->c->finished, x, wait);
	x->on = ON_NONE;
}

static const struct timeval all = { KEYWAIT_MS / 1000, KEYWAIT_MS % 1000 * 1000 };

void
keywait_ask(struct keyx *x)
{
	struct keyc *c = x->c;

	keywait_leave(x);
	x->deadline = clock_ms() + KEYWAIT_MS;
	x->on = ON_ASKING;
	/* It runs out for the first that asks, and then is set for the next. */
	if (TAILQ_EMPTY(&c->asking))
		event_add(c->timeout, &all);
	TAILQ_INSERT_TAIL(&c->asking, x, wait);
}

void
keywait_finish(struct keyx *x, enum keyx_state outcome)
{
	keywait_leave(x);
	x->outcome = outcome;
	x->on = ON_DONE;
	TAILQ_INSERT_TAIL(&x->c->finished, x, wait);
	event_active(x->c->done, 0, 0);
}

struct keyx *
keywait_late(struct keyc *c, uint64_t now)
{
	struct keyx *x = TAILQ_FIRST(&c->asking);
	uint64_t ms;

	if (x == NULL || x->deadline <= now)
		return x;
	ms = x->deadline - now;
	event_add(c->timeout, &(struct timeval){ (time_t)(ms / 1000),
	    (suseconds_t)(ms % 1000) * 1000 });
	return NULL;
}

bool
keywait_excuse(struct keyc *c, uint64_t now)
{
	const struct keyx *x = TAILQ_FIRST(&c->asking);

	c->looks_again = !c->looks_again && x != NULL && now >= x->deadline + KEYLATE_MS;
	if (c->looks_again)
		event_add(c->timeout, &all);
	return c->looks_again;
}

void
keywait_tell(struct keyc *c)
{
	size_t n = 0;
	struct keyx *x;

	/* ready() may free x, or any other; what it asks for in turn is another turn's. */
	TAILQ_FOREACH(x, &c->finished, wait)
		n++;
	while (n-- > 0 && (x = TAILQ_FIRST(&c->finished)) != NULL) {
		keywait_leave(x);
		x->r.state = x->outcome;
		x->ready(x->arg);
	}
	if (!TAILQ_EMPTY(&c->finished))
		event_active(c->done, 0, 0);
}
