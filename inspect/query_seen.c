/* query_seen.c: the last interface query of a session: what the client was told, and what not */
#include "config.h"

#include "inspect/query_seen.h"

#include <stdlib.h>
#include <string.h>

static uint8_t
kept(size_t n)
{
	return n < SESSION_LIST_MAX ? (uint8_t)n : SESSION_LIST_MAX;
}

static size_t
put(struct query_seen *s, size_t at, const struct ifinfo *list, uint8_t n)
{
	if (n > 0)
		memcpy(s->list + at, list, n * sizeof(*list));
	return at + n;
}

struct query_seen *
query_seen_new(const struct query_lists *l)
{
	const uint8_t told = kept(l->ntold), node = kept(l->nnode), removed = kept(l->nremoved);
	const size_t n = (size_t)told + node + removed;
	struct query_seen *s = malloc(sizeof(*s) + n * sizeof(s->list[0]));
	size_t at;

	if (s == NULL)
		return NULL;
	*s = (struct query_seen){ .ntold = told, .nnode = node, .nremoved = removed };
	at = put(s, 0, l->told, told);
	at = put(s, at, l->node, node);
	(void)put(s, at, l->removed, removed);
	return s;
}

struct query_seen *
query_seen_dup(const struct query_seen *s)
{
	const struct query_lists l = {
		.told = s->list,
		.node = query_seen_node(s),
		.removed = query_seen_removed(s),
		.ntold = s->ntold,
		.nnode = s->nnode,
		.nremoved = s->nremoved,
	};
	struct query_seen *copy = query_seen_new(&l);

	if (copy != NULL) {
		copy->at_ms = s->at_ms;
		copy->count = s->count;
		copy->via = s->via;
		copy->too_small = s->too_small;
	}
	return copy;
}
