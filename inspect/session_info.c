/* session_info.c: the facts of one session and of its channels, as they are shown */
#include "config.h"

#include "inspect/session_info.h"

#include "inspect/caller.h"
#include "inspect/query_seen.h"
#include "nodes/node.h"
#include "smb/const.h"

#include <stdlib.h>
#include <string.h>

/* A copy of a text, cut where it is too long; NULL also when memory is out. */
static const char *
text_dup(const char *text)
{
	return text == NULL ? NULL : strndup(text, SESSION_TEXT_MAX - 1);
}

static const struct caller *
caller_dup(const struct caller *by)
{
	struct caller *copy = by == NULL ? NULL : malloc(sizeof(*copy));

	if (copy != NULL)
		*copy = *by;
	return copy;
}

const char *
session_info_user(const struct session_info *si)
{
	if (si->principal != NULL)
		return si->principal;
	return si->by != NULL && si->by->user[0] != '\0' ? si->by->user : NULL;
}

bool
session_may_be_bound(const struct session_info *si)
{
	return si->dialect >= SMB2_DIALECT_300 && !si->guest && !si->anonymous;
}

enum session_protection
session_protection(const struct session_info *si)
{
	if (si->keyed)
		return SESSION_KEYED;
	return si->opaque_because != NULL || si->sealed || si->signing_required ? SESSION_OPAQUE
	                                                                        : SESSION_UNSIGNED;
}

const char *
session_protection_str(enum session_protection p)
{
	static const char *const words[SESSION_PROTECTIONS] = {
		[SESSION_KEYED] = "keyed",
		[SESSION_UNSIGNED] = "unsigned",
		[SESSION_OPAQUE] = "opaque",
	};

	return words[p];
}

/* Facts are not for changing nodes; whether somebody refers to one is no fact of it. */
static struct node *
node_of(const struct session_info *si)
{
	return (struct node *)(uintptr_t)si->node;
}

void
session_info_own(struct session_info *si)
{
	if (si->node != NULL)
		(void)node_ref(node_of(si));
	si->opaque_because = text_dup(si->opaque_because);
	si->principal = text_dup(si->principal);
	si->by = caller_dup(si->by);
	si->asked = si->asked == NULL ? NULL : query_seen_dup(si->asked);
}

static void
own_free(const void *p)
{
	free((void *)(uintptr_t)p);
}

void
session_info_fini(struct session_info *si)
{
	struct node *n = node_of(si);

	node_unref(&n);
	own_free(si->opaque_because);
	own_free(si->principal);
	own_free(si->by);
	own_free(si->asked);
}

void
session_info_opaque(struct session_info *si, const char *because)
{
	si->keyed = false;
	own_free(si->opaque_because);
	si->opaque_because = text_dup(because);
}

void
session_info_query(struct session_info *si, enum query_result query, struct query_seen *seen)
{
	si->query = query;
	if (seen == NULL)
		return;
	seen->count = si->asked == NULL ? 1 : si->asked->count + 1;
	own_free(si->asked);
	si->asked = seen;
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
