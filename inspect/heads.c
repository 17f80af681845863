/* heads.c: what the heads of messages say of open files, and of requests without an answer */
#include "config.h"

#include "inspect/heads.h"

#include "inspect/opens.h"
#include "inspect/parts.h"
#include "inspect/session.h"
#include "inspect/track.h"
#include "smb/hdr2.h"

/* A server that says something by itself, [MS-SMB2] 2.2.23, 2.2.44.1. */
#define NO_REQUEST UINT64_MAX

static bool
of_files(uint16_t command)
{
	return command == SMB2_CREATE || command == SMB2_CLOSE || command == SMB2_TREE_DISCONNECT;
}

void
heads_request(struct mediate *m, uint16_t command)
{
	if (command == SMB2_CANCEL || HEADS_LOGON(command))
		return;
	m->outstanding++;
	if (of_files(command) && m->track.asked < UINT16_MAX)
		m->track.asked++;
}

/* Related, and the message that it is related to was answered before, or came elsewhere. */
static struct channel *
only_channel(const struct track *t, uint64_t session_id)
{
	return session_id == UINT64_MAX && t->channels.n == 1 ? chantab_first(&t->channels) : NULL;
}

static void
files_answered(struct mediate *m, const struct hdr2 *h, uint64_t session_id, uint32_t tree)
{
	struct channel *c = track_channel(&m->track, session_id);
	const bool good = h->status < 0x80000000u;
	bool seen = true;

	if (c == NULL)
		c = only_channel(&m->track, session_id);
	if (h->status == STATUS_NETWORK_NAME_DELETED && c != NULL)
		channel_disconnected(m->env->sessions, c, tree);
	if (!good)
		return;
	if (c == NULL)
		seen = h->command != SMB2_CREATE;
	else if (h->command == SMB2_CREATE)
		seen = channel_opened(m->env->sessions, c, tree) == 0;
	else if (h->command == SMB2_CLOSE)
		channel_closed(m->env->sessions, c, tree);
	else
		channel_disconnected(m->env->sessions, c, tree);
	m->track.unseen |= !seen;
}

void
heads_answer(struct mediate *m, const struct hdr2 *h, uint64_t session_id, uint32_t tree_id)
{
	const bool async = (h->flags & SMB2_FLAGS_ASYNC_COMMAND) != 0;

	/* The real answer to what is pending follows, [MS-SMB2] 3.3.4.2. */
	if (h->message_id == NO_REQUEST || HEADS_LOGON(h->command) || h->status == STATUS_PENDING)
		return;
	if (m->outstanding > 0)
		m->outstanding--;
	if (!of_files(h->command))
		return;
	if (m->track.asked > 0)
		m->track.asked--;
	/* No server gives a tree the number 0. */
	files_answered(m, h, session_id, async || tree_id == 0 ? OPENS_NO_TREE : tree_id);
}

static void
heads_message(struct mediate *m, enum dir dir, const struct part2 *part)
{
	if (dir == C2S)
		heads_request(m, part->hdr.command);
	else
		heads_answer(m, &part->hdr, part->session_id, part->tree_id);
}

void
heads_part(struct mediate *m, enum dir dir, const struct parts *w)
{
	if (w->passing)
		heads_message(m, dir, &w->part);
	if (w->covered)
		m->track.unseen = m->uncounted = true;
}

void
heads_frame(struct mediate *m, const struct frame *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		const struct hdr2 *h = &f->msg[i].part.hdr;

		if (!heads_common(m, f->dir, (uint8_t)h->command, h->status))
			heads_message(m, f->dir, &f->msg[i].part);
	}
}

void
heads_unopened(struct mediate *m, const struct frame *f)
{
	for (unsigned i = 0; i < f->peeked; i++)
		heads_message(m, f->dir, &f->msg[i].part);
	m->track.unseen |= f->peeked == 0;
	m->uncounted = true;
}

void
heads_covered(struct mediate *m, enum dir dir, const struct hdr2 *peeked)
{
	if (peeked->command != HDR2_NO_COMMAND && dir == C2S)
		heads_request(m, peeked->command);
	else if (peeked->command != HDR2_NO_COMMAND)
		heads_answer(m, peeked, peeked->session_id, peeked->tree_id);
	else if (dir == C2S || m->track.asked > 0)
		m->track.unseen = true;
	m->uncounted = true;
}

void
heads_plain(struct mediate *m, enum dir dir, const uint8_t *p)
{
	struct hdr2 h;

	if (hdr2_get(&h, p, SMB2_HDR_LEN) == -1)
		return;
	if (dir == C2S)
		heads_request(m, h.command);
	else
		heads_answer(m, &h, h.session_id, h.tree_id);
}

bool
heads_seen(const struct mediate *m)
{
	return m->track.negotiated && !m->track.smb1 && !m->track.unseen;
}

int64_t
heads_files(const struct mediate *m)
{
	return heads_seen(m) ? (int64_t)chantab_sum(&m->track.channels, channel_files_shown,
	                           m->env->sessions)
	                     : -1;
}

int64_t
heads_outstanding(const struct mediate *m)
{
	return heads_seen(m) && !m->uncounted ? (int64_t)m->outstanding : -1;
}

bool
heads_may_reclaim(const struct mediate *m)
{
	/* What was asked may have been done. */
	return m->track.channels.n > 0 && (!heads_seen(m) || m->track.asked > 0 ||
	    chantab_sum(&m->track.channels, channel_files, m->env->sessions) > 0);
}
