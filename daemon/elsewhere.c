/* elsewhere.c: whom the other proxies have on a drained node, and whether that is all */
#include "config.h"

#include "daemon/elsewhere.h"

#include "auth/keyhash.h"
#include "state/orders.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t
elsewhere_order(const struct keyhash *h, const char *node, uint64_t when_ms)
{
	char when[24];
	int n = snprintf(when, sizeof(when), " %" PRIu64, when_ms);

	return keyhash(h, node, strlen(node), when, (size_t)n);
}

void
elsewhere_look(struct elsewhere *e, struct keeper *k, const struct keyhash *h, const char *node)
{
	struct order_said said = { .when_ms = 0 };

	e->known = true;
	e->n = 0;
	if (k == NULL)
		return;
	/* One that Redis has not, or that is not given here yet, is known to nobody. */
	(void)keeper_find_drain(k, node, &said);
	e->known = keeper_rests(k, elsewhere_order(h, node, said.when_ms), e->all, &e->n);
}

/* How many of them say so, with connections or without. */
static size_t
count(const struct elsewhere *e, enum rest_says says, bool left)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n; i++)
		n += e->all[i].says == says && (e->all[i].rest.connections > 0) == left;
	return n;
}

static bool
nobody_left(const struct elsewhere *e)
{
	return e->known && count(e, REST_NOT_YET, false) == 0 && count(e, REST_SAID, true) == 0;
}

void
elsewhere_note(struct elsewhere_seen *s, bool here, const struct elsewhere *e, uint64_t now_ms)
{
	if (s->here && !here)
		s->here_ms = now_ms;
	s->here = here;
	if (count(e, REST_SAID, true) > 0)
		s->there = true;
	if (!s->there || !nobody_left(e))
		return;
	s->there = false;
	/* The others speak of a moment after that in which one of them had somebody. */
	for (size_t i = 0; i < e->n; i++)
		if (e->all[i].says == REST_SAID && e->all[i].at_ms > s->there_ms)
			s->there_ms = e->all[i].at_ms;
}

bool
elsewhere_over(const struct elsewhere_seen *s, const struct elsewhere *e)
{
	if (!nobody_left(e))
		return false;
	if (count(e, REST_SAID, false) == 0)
		return true;
	if (s->here || s->there)
		return false;
	for (size_t i = 0; i < e->n; i++)
		if (e->all[i].says == REST_SAID &&
		    (e->all[i].at_ms < s->here_ms || e->all[i].at_ms < s->there_ms))
			return false;
	return true;
}

void
elsewhere_json(json_t *o, const char *key, const struct elsewhere *e)
{
	static const char *const says[] = {
		[REST_NEVER] = "never",
		[REST_NOT_YET] = "not yet",
		[REST_SAID] = "counts",
	};
	json_t *list;

	if (!e->known) {
		jset_text(o, key, NULL);
		return;
	}
	list = jset_array(o, key);
	for (size_t i = 0; i < e->n; i++) {
		const struct keeper_rest *x = &e->all[i];
		const bool said = x->says == REST_SAID;
		json_t *v = jadd_object(list);

		jset_text(v, "proxy", x->name);
		jset_text(v, "says", says[x->says]);
		jset_seen(v, "clients", said ? (int64_t)x->rest.clients : -1);
		jset_seen(v, "connections", said ? (int64_t)x->rest.connections : -1);
		jset_seen(v, "cut_total", said ? (int64_t)x->rest.cut : -1);
	}
}
