/* session_over.c: the one place where a connection learns that a session is over */
#include "config.h"

#include "inspect/session_over.h"

#include "auth/keys.h"
#include "inspect/ended.h"
#include "inspect/env.h"
#include "inspect/sharing.h"
#include "nodes/node.h"
#include "smb/const.h"
#include "smb/hdr2.h"

void
session_leave(struct mediate *m, struct channel **c)
{
	uint64_t session_id = channel_session_id(*c);

	if (channel_leave(m->env->sessions, c))
		sharing_leave(m, session_id);
}

/* Its node has ended it. */
static void
gone(struct mediate *m, uint64_t session_id, const struct smbkeys *keys)
{
	sharing_drop(m, session_id);
	ended_tell(m->env, session_id, m->node, keys);
}

void
session_renumbered(struct mediate *m, uint64_t session_id)
{
	struct channel *c = track_channel_take(&m->track, session_id);
	struct smbkeys *keys = sesstab_keys(m->env->sessions, session_id, m->node);

	if (sesstab_end(m->env->sessions, session_id, m->node))
		gone(m, session_id, keys);
	smbkeys_unref(&keys);
	channel_leave(m->env->sessions, &c);
}

void
session_over(struct mediate *m, uint64_t session_id)
{
	struct channel *c = track_channel_take(&m->track, session_id);

	if (c != NULL && channel_end(m->env->sessions, c))
		gone(m, session_id, channel_keys(c));
	channel_leave(m->env->sessions, &c);
}

struct channel *
session_here(struct mediate *m, uint64_t session_id)
{
	struct channel *c = track_channel(&m->track, session_id);

	if (c == NULL || !channel_over(c))
		return c;
	c = track_channel_take(&m->track, session_id);
	channel_leave(m->env->sessions, &c);
	return NULL;
}

/* While an answer of the session is on its way its keys are needed: session_sweep() comes later. */
static void
give_up(struct mediate *m, uint64_t session_id)
{
	struct channel *c;

	if (track_owed(&m->track, session_id)) {
		m->ended = sesstab_ended(m->env->sessions) - 1;
		return;
	}
	c = track_channel_take(&m->track, session_id);
	channel_leave(m->env->sessions, &c);
}

/* The one that this connection is a channel of: its number may already be another one's. */
static void
node_ended(struct mediate *m, uint64_t session_id)
{
	struct channel *c = track_channel(&m->track, session_id);

	if (channel_end(m->env->sessions, c))
		gone(m, session_id, channel_keys(c));
	give_up(m, session_id);
}

/* This connection is a channel of it no more; whether it is over the others are told. */
static void
channel_lost(struct mediate *m, uint64_t session_id)
{
	struct channel *c = track_channel_take(&m->track, session_id);

	session_leave(m, &c);
}

/*
 * Anybody may ask for a session that is not his, and is told the same then: the word counts on a
 * connection that is a channel of it, and not where a bind is refused.
 */
void
session_said(struct mediate *m, const uint8_t *p, size_t avail)
{
	const struct pending *asked;
	const struct channel *c;
	struct hdr2 h;

	if (hdr2_get(&h, p, avail) == -1 ||
	    (c = track_channel(&m->track, h.session_id)) == NULL)
		return;
	asked = track_asked(&m->track, h.message_id);
	if (asked != NULL && asked->binding)
		return;
	if (h.status == STATUS_USER_SESSION_DELETED && channel_rebound(c))
		channel_lost(m, h.session_id);
	else if (h.status == STATUS_USER_SESSION_DELETED)
		node_ended(m, h.session_id);
	else if (h.status == STATUS_NETWORK_SESSION_EXPIRED)
		session_doubt(m, h.session_id, true);
}

void
session_replaced(struct mediate *m, uint64_t previous, const struct session_info *si)
{
	if (previous == 0 || previous == si->session_id)
		return;
	ended_tell_previous(m->env, previous, si);
	if (!sesstab_replaced(m->env->sessions, previous, si))
		return;
	sharing_drop(m, previous);
	give_up(m, previous);
}

void
session_bind_failed(struct mediate *m, uint64_t session_id)
{
	struct channel *c = track_channel(&m->track, session_id);

	if (c != NULL)
		channel_rebind(c, true);
}

void
session_joined(struct mediate *m, struct channel *c)
{
	/* Taken away by a bind that was refused, or of a session that is over. */
	struct channel *old = track_channel_take(&m->track, channel_session_id(c));

	track_channel_add(&m->track, c);
	channel_leave(m->env->sessions, &old);
}

void
session_doubt(struct mediate *m, uint64_t session_id, bool doubted)
{
	struct channel *c = track_channel(&m->track, session_id);

	if (c != NULL)
		channel_doubt(c, doubted);
}

void
session_setup_failed(struct mediate *m, uint64_t session_id, uint32_t status)
{
	if (track_channel(&m->track, session_id) == NULL)
		return;
	if (status == STATUS_LOGON_FAILURE)
		node_ended(m, session_id);
	else
		session_doubt(m, session_id, true);
}

static bool
is_spare(const struct channel *c)
{
	return channel_keys(c) == NULL || channel_doubted(c);
}

/*
 * There is nothing to be known of opaque ones, and they may long be over: a LOGOFF inside their
 * encryption was not seen. Those in doubt most likely are.
 */
bool
session_room(struct mediate *m)
{
	struct channel *spare, *c;

	if (!track_channels_full(&m->track))
		return true;
	spare = chantab_sift(&m->track.channels, is_spare);
	m->track.unseen |= spare != NULL;
	while ((c = spare) != NULL) {
		spare = *channel_next(c);
		session_leave(m, &c);
	}
	return !track_channels_full(&m->track);
}

void
session_sweep(struct mediate *m)
{
	const unsigned ended = sesstab_ended(m->env->sessions);
	struct channel *over, *c;
	unsigned kept = 0;

	if (m->ended == ended)
		return;
	over = chantab_sift(&m->track.channels, channel_over);
	while ((c = over) != NULL) {
		over = *channel_next(c);
		*channel_next(c) = NULL;
		if (track_owed(&m->track, channel_session_id(c))) {
			track_channel_add(&m->track, c);
			kept++;
		} else {
			channel_leave(m->env->sessions, &c);
		}
	}
	/* Looked at again then. */
	m->ended = kept > 0 ? ended - 1 : ended;
}

static bool
stale(const void *arg, const struct channel *c)
{
	(void)arg;
	return channel_over(c);
}

bool
session_stale(const struct mediate *m)
{
	return chantab_has(&m->track.channels, stale, NULL);
}
