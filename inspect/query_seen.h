/* query_seen.h: the last interface query of a session: what the client was told, and what not */
#ifndef INSPECT_QUERY_SEEN_H
#define INSPECT_QUERY_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "smb/ifinfo.h"

/* How many addresses of each list are remembered for people to look at. */
#define SESSION_LIST_MAX 16

/* There is one where there has been a query: most of a session's life there is nothing to say. */
struct query_seen {
	uint64_t at_ms;		/* of the last one */
	uint32_t count;		/* of the session */
	struct addr via;	/* the client dialled it */
	bool too_small;		/* our list did not fit where the client wanted it */
	uint8_t ntold, nnode, nremoved;
	struct ifinfo list[];	/* what was told; what the node said; what was left out */
};

struct query_lists {
	const struct ifinfo *told, *node, *removed;
	size_t ntold, nnode, nremoved;	/* may exceed SESSION_LIST_MAX */
};

/* The caller frees it with free(); NULL when memory is out. */
struct query_seen *query_seen_new(const struct query_lists *l);
struct query_seen *query_seen_dup(const struct query_seen *s);

static inline const struct ifinfo *
query_seen_node(const struct query_seen *s)
{
	return s->list + s->ntold;
}

static inline const struct ifinfo *
query_seen_removed(const struct query_seen *s)
{
	return s->list + s->ntold + s->nnode;
}

#endif
