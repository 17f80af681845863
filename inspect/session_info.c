/* session_info.c: the facts of one session and of its channels, as they are shown */
#include "config.h"

#include "inspect/session_info.h"

#include <stdlib.h>
#include <string.h>

/* A copy of a text, cut where it is too long; NULL also when memory is out. */
static const char *
text_dup(const char *text)
{
	return text == NULL ? NULL : strndup(text, SESSION_TEXT_MAX - 1);
}

static const struct ifinfo *
list_dup(const struct ifinfo *list, size_t n)
{
	struct ifinfo *copy = n == 0 ? NULL : malloc(n * sizeof(*list));

	if (copy != NULL)
		memcpy(copy, list, n * sizeof(*list));
	return copy;
}

void
session_info_own(struct session_info *si)
{
	si->opaque_because = text_dup(si->opaque_because);
	si->principal = text_dup(si->principal);
	si->list = list_dup(si->list, si->nlist);
	if (si->list == NULL)
		si->nlist = 0;
}

static void
own_free(const void *p)
{
	free((void *)(uintptr_t)p);
}

void
session_info_fini(struct session_info *si)
{
	own_free(si->opaque_because);
	own_free(si->principal);
	own_free(si->list);
}

void
session_info_opaque(struct session_info *si, const char *because)
{
	si->keyed = false;
	own_free(si->opaque_because);
	si->opaque_because = text_dup(because);
}

void
session_info_query(struct session_info *si, enum query_result query, const struct ifinfo *list,
    size_t n)
{
	si->query = query;
	own_free(si->list);
	si->nlist = n < SESSION_LIST_MAX ? (unsigned)n : SESSION_LIST_MAX;
	si->list = list_dup(list, si->nlist);
	if (si->list == NULL)
		si->nlist = 0;
}

const char *
query_result_str(enum query_result r)
{
	switch (r) {
	case QUERY_NEVER:
		return "nothing";
	case QUERY_OURS:
		return "announced list";
	case QUERY_NODES:
		return "node's list";
	case QUERY_OPAQUE:
		return "opaque";
	case QUERY_GMAC:
		return "node's list: GMAC";
	case QUERY_REFUSED:
		return "refused: GMAC";
	case QUERY_ERROR:
		return "error";
	}
	return "nothing";
}
