/* track.c: the protocol facts of one connection, taken from complete messages in one place */
#include "config.h"

#include "inspect/track.h"

#include "base/clock.h"
#include "inspect/barred.h"
#include "inspect/session.h"
#include "smb/const.h"
#include "smb/neg2.h"

#include <stdlib.h>
#include <string.h>

/* Before NEGOTIATE is answered: the longest that any client sends is below 1 KiB. */
#define MAX_FRAME_FIRST 4096

void
track_init(struct track *t)
{
	*t = (struct track){ .max_frame = MAX_FRAME_FIRST };
}

static void
pending_none(struct track *t)
{
	free(t->pending);
	t->pending = NULL;
	t->npending = t->pending_cap = 0;
}

void
track_fini(struct track *t)
{
	pending_none(t);
	barred_free(&t->barred);
	free(t->parts[C2S]);
	free(t->parts[S2C]);
	t->parts[C2S] = t->parts[S2C] = NULL;
}

bool
track_crowded(const struct track *t)
{
	return t->npending >= (t->logged_on ? TRACK_PENDING_MANY : TRACK_PENDING_STRANGER);
}

/* Where a MessageId is, or the free place for it: there always is one. */
static struct pending *
pending_slot(struct pending *table, unsigned cap, uint64_t message_id)
{
	unsigned i = (unsigned)((message_id * 0x9e3779b97f4a7c15ull) >> 32);

	while (table[i & (cap - 1)].used && table[i & (cap - 1)].message_id != message_id)
		i++;
	return &table[i & (cap - 1)];
}

/* Every one that is kept, in a table of its own. -1 when memory is out. */
static int
pending_resize(struct track *t, unsigned cap, bool (*keep)(const struct pending *, uint32_t),
    uint32_t than)
{
	struct pending *table = calloc(cap, sizeof(*table));
	unsigned n = 0;

	if (table == NULL)
		return -1;
	for (unsigned i = 0; i < t->pending_cap; i++) {
		const struct pending *p = &t->pending[i];

		if (!p->used || (keep != NULL && !keep(p, than)))
			continue;
		*pending_slot(table, cap, p->message_id) = *p;
		n++;
	}
	free(t->pending);
	t->pending = table;
	t->pending_cap = cap;
	t->npending = n;
	return 0;
}

int
track_ask(struct track *t, const struct pending *p, enum close_reason *why)
{
	struct pending *slot;

	if (track_asked(t, p->message_id) != NULL) {
		/* The node ends the connection for it too: whose answer is whose? */
		*why = CLOSE_BAD_SEQUENCE;
		return -1;
	}
	if (t->npending >= 2 * (t->logged_on ? TRACK_PENDING_MANY : TRACK_PENDING_STRANGER)) {
		*why = CLOSE_PENDING_FULL;
		return -1;
	}
	/* A quarter of the places stays free. */
	if (4 * (t->npending + 1) > 3 * t->pending_cap &&
	    pending_resize(t, t->pending_cap == 0 ? 2 : t->pending_cap * 2, NULL, 0) == -1) {
		*why = CLOSE_NO_MEMORY;
		return -1;
	}
	slot = pending_slot(t->pending, t->pending_cap, p->message_id);
	*slot = *p;
	slot->used = true;
	if (slot->since_s == 0)
		slot->since_s = (uint32_t)(clock_ms() / 1000);
	t->npending++;
	return 0;
}

const struct pending *
track_asked(const struct track *t, uint64_t message_id)
{
	const struct pending *p = t->npending == 0
	    ? NULL
	    : pending_slot(t->pending, t->pending_cap, message_id);

	return p == NULL || !p->used ? NULL : p;
}

void
track_answered(struct track *t, uint64_t message_id)
{
	const unsigned mask = t->pending_cap - 1;
	struct pending moved;
	unsigned i;

	if (track_asked(t, message_id) == NULL)
		return;
	if (t->npending == 1) {
		pending_none(t);
		return;
	}
	i = (unsigned)(pending_slot(t->pending, t->pending_cap, message_id) - t->pending);
	t->pending[i].used = false;
	/* What stands behind it may stand there only because of it. */
	for (i = (i + 1) & mask; t->pending[i].used; i = (i + 1) & mask) {
		moved = t->pending[i];
		t->pending[i].used = false;
		*pending_slot(t->pending, t->pending_cap, moved.message_id) = moved;
	}
	t->npending--;
}

bool
track_owed(const struct track *t, uint64_t session_id)
{
	for (unsigned i = 0; i < t->pending_cap; i++)
		if (t->pending[i].used && t->pending[i].session_id == session_id)
			return true;
	return false;
}

bool
track_opening(const struct track *t, uint64_t session_id)
{
	for (unsigned i = 0; i < t->pending_cap; i++) {
		const struct pending *p = &t->pending[i];

		if (p->used && p->kind == PENDING_SESSION_SETUP && !p->binding &&
		    p->session_id == session_id)
			return session_id != 0 && track_channel(t, session_id) == NULL;
	}
	return false;
}

bool
track_replaces(const struct track *t, uint64_t session_id)
{
	for (unsigned i = 0; i < t->pending_cap; i++)
		if (t->pending[i].used && t->pending[i].previous_session_id == session_id)
			return true;
	return false;
}

static bool
asked_since(const struct pending *p, uint32_t since_s)
{
	return p->since_s >= since_s;
}

void
track_expire(struct track *t, uint64_t now_ms)
{
	const uint64_t oldest_ms = now_ms - TRACK_PENDING_AGE_MS;

	/* Once a minute is often enough for what is looked at whole. */
	if (t->npending == 0 || now_ms < TRACK_PENDING_AGE_MS || now_ms / 1000 % 64 != 0)
		return;
	(void)pending_resize(t, t->pending_cap, asked_since, (uint32_t)(oldest_ms / 1000));
	if (t->npending == 0)
		pending_none(t);
}

/*
 * Where the node has refused one NEGOTIATE, another may follow. With a ClientGuid that lives on
 * another node it would throw that client off there, and nobody has to log on for it. In 2.0.2 a
 * GUID means nothing to the node.
 */
static bool
same_client(const struct track *t, const struct neg2_req *r)
{
	return !t->placed || !neg2_req_has_guid(r) ||
	    (t->has_guid && guid_equal(&t->client_guid, &r->client_guid));
}

int
track_negotiate_req(struct track *t, const struct neg2_req *r, enum close_reason *why)
{
	if (!same_client(t, r)) {
		*why = CLOSE_OTHER_GUID;
		return -1;
	}
	if (!t->placed) {
		t->has_guid = neg2_req_has_guid(r);
		t->client_guid = r->client_guid;
	}
	t->placed = true;
	t->negotiating = true;
	t->client_mode = r->security_mode;
	t->client_caps = (uint16_t)r->capabilities;
	return 0;
}

void
track_negotiate_smb1(struct track *t)
{
	t->smb1_offered = true;
	t->placed = true;
	t->negotiating = true;
}

void
track_negotiate_resp(struct track *t, const struct neg2_resp *r)
{
	t->negotiated = true;
	t->smb1_offered = false;
	t->dialect = r->dialect;
	t->server_mode = r->security_mode;
	t->server_caps = (uint16_t)r->capabilities;
	t->signing = r->signing;
	t->compression = r->compression;
	t->chained = r->chained;
	t->cipher = r->cipher;
	/* 3.0.x has no contexts: both sides must say that they can encrypt, [MS-SMB2] 3.3.5.4. */
	if (t->dialect < SMB2_DIALECT_311 && (t->client_caps & SMB2_GLOBAL_CAP_ENCRYPTION) == 0)
		t->cipher = 0;
	/*
	 * MaxReadSize and its like are of one message: a compound has any number of them. How long
	 * a frame it takes the node knows; what is held of it has a limit of its own.
	 */
	t->max_frame = NBSS_LEN_MAX;
}

struct smbkeys *
track_keys(const struct track *t, uint64_t session_id)
{
	const struct channel *c = t->crypt == NULL ? NULL : track_channel(t, session_id);

	return c == NULL ? NULL : channel_keys(c);
}

const struct signkey *
track_signing(const struct track *t, uint64_t session_id)
{
	const struct channel *c = t->crypt == NULL ? NULL : track_channel(t, session_id);

	return c == NULL ? NULL : channel_signing(c);
}

bool
track_opaque(const struct track *t, uint64_t session_id)
{
	const struct channel *c = t->cipher == 0 ? NULL : track_channel(t, session_id);

	return c != NULL && !channel_keyless(c) && track_keys(t, session_id) == NULL;
}

bool
track_channels_full(const struct track *t)
{
	return t->channels.n >= TRACK_SESSIONS_MAX;
}

void
track_channel_add(struct track *t, struct channel *c)
{
	chantab_add(&t->channels, c);
}

struct channel *
track_channel_take(struct track *t, uint64_t session_id)
{
	return chantab_take(&t->channels, session_id);
}

struct channel *
track_channel_any(struct track *t)
{
	return chantab_any(&t->channels);
}
