/* ends.c: pure: what other proxies were told to end, until each of them has heard it */
#include "config.h"

#include "daemon/ends.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct told {
	TAILQ_ENTRY(told) entry;
	uint32_t number;
	uint64_t first_ms, again_ms;
	struct parting who;
	size_t n;			/* who has not heard it */
	char peers[][TALK_TOKEN];
};

struct ends {
	TAILQ_HEAD(, told) all;		/* in the order of their numbers */
	size_t n;
	uint32_t number;
};

struct ends *
ends_new(void)
{
	struct ends *e = calloc(1, sizeof(*e));

	if (e != NULL)
		TAILQ_INIT(&e->all);
	return e;
}

static void
told_free(struct ends *e, struct told *x)
{
	TAILQ_REMOVE(&e->all, x, entry);
	e->n--;
	free(x);
}

void
ends_free(struct ends **ep)
{
	struct ends *e = *ep;
	struct told *x;

	if (e == NULL)
		return;
	while ((x = TAILQ_FIRST(&e->all)) != NULL)
		told_free(e, x);
	free(e);
	*ep = NULL;
}

uint32_t
ends_add(struct ends *e, const struct parting *who, const char (*peers)[TALK_TOKEN], size_t n,
    uint64_t now_ms)
{
	struct told *x = n == 0 ? NULL : calloc(1, sizeof(*x) + n * sizeof(x->peers[0]));

	if (x == NULL)
		return 0;
	if (e->n == ENDS_MAX)
		told_free(e, TAILQ_FIRST(&e->all));
	if (++e->number == 0)
		e->number = 1;
	x->number = e->number;
	x->first_ms = now_ms;
	x->again_ms = now_ms + ENDS_AGAIN_MS;
	x->who = *who;
	x->n = n;
	memcpy(x->peers, peers, n * sizeof(x->peers[0]));
	TAILQ_INSERT_TAIL(&e->all, x, entry);
	e->n++;
	return x->number;
}

void
ends_heard(struct ends *e, uint32_t number, const char from[TALK_TOKEN])
{
	struct told *x;
	size_t i = 0;

	/* Answers come in the order of what is told. */
	TAILQ_FOREACH(x, &e->all, entry)
		if (x->number == number)
			break;
	if (x == NULL)
		return;
	while (i < x->n && memcmp(x->peers[i], from, TALK_TOKEN) != 0)
		i++;
	if (i == x->n)
		return;
	memmove(x->peers[i], x->peers[--x->n], TALK_TOKEN);
	if (x->n == 0)
		told_free(e, x);
}

bool
ends_due(struct ends *e, uint64_t now_ms, struct parting *who, uint32_t *number, uint32_t *ago_ms)
{
	struct told *x;

	TAILQ_FOREACH(x, &e->all, entry)
		if (x->again_ms <= now_ms)
			break;
	if (x == NULL)
		return false;
	x->again_ms = now_ms + (now_ms - x->first_ms);
	*who = x->who;
	*number = x->number;
	*ago_ms = (uint32_t)(now_ms - x->first_ms);
	return true;
}

bool
ends_given_up(struct ends *e, uint64_t now_ms, struct parting *who)
{
	struct told *x = TAILQ_FIRST(&e->all);

	if (x == NULL || now_ms - x->first_ms < ENDS_FOR_MS)
		return false;
	*who = x->who;
	told_free(e, x);
	return true;
}

bool
ends_wait(const struct ends *e)
{
	return !TAILQ_EMPTY(&e->all);
}
