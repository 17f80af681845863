/* query_note.c: what became of an interface query is remembered with its session, for people */
#include "config.h"

#include "inspect/query_note.h"

#include "base/clock.h"
#include "inspect/announce.h"
#include "inspect/decision.h"
#include "inspect/env.h"
#include "inspect/frame.h"
#include "inspect/query_seen.h"
#include "inspect/session.h"
#include "smb/const.h"
#include "smb/ioctl2.h"

/* What the node has said, signed or not: it can be read unless it came sealed without a key. */
static size_t
answered_list(const struct message *answer, struct ifinfo list[IFINFO_MAX])
{
	struct ioctl2_resp r;
	size_t n;

	if (answer == NULL || answer->part.hdr.command != SMB2_IOCTL ||
	    ioctl2_resp_get(&r, answer->bytes, answer->part.len) == -1 ||
	    r.ctl_code != FSCTL_QUERY_NETWORK_INTERFACE_INFO ||
	    ifinfo_get(list, IFINFO_MAX, &n, r.output, r.output_len) == -1)
		return 0;
	return n;
}

void
query_note(struct mediate *m, uint64_t session_id, const struct message *answer,
    const struct decision *d)
{
	struct channel *c = track_channel(&m->track, session_id);
	const bool ours = d->query == QUERY_OURS, too_small = ours && !d->has_list;
	struct ifinfo node[IFINFO_MAX], removed[SESSION_LIST_MAX];
	struct query_lists l = { .told = d->list, .ntold = d->nlist, .node = node };
	struct query_seen *seen;

	if (c == NULL)
		return;
	l.nnode = answered_list(answer, node);
	if (ours) {
		l.removed = removed;
		l.nremoved = announce_removed(m->env->policy, m->self.listener, m->intercept, &l,
		    removed, SESSION_LIST_MAX);
		l.ntold = too_small ? 0 : d->nlist;
	} else if (d->query != QUERY_REFUSED && d->query != QUERY_ERROR) {
		l.told = node;
		l.ntold = l.nnode;
	}
	seen = query_seen_new(&l);
	if (seen != NULL) {
		seen->at_ms = clock_ms();
		seen->via = m->self.local.addr;
		seen->too_small = too_small;
	}
	channel_query_result(m->env->sessions, c, too_small ? QUERY_ERROR : d->query, seen);
}
