/* track.c: the protocol facts of one connection, taken from complete messages in one place */
#include "config.h"

#include "inspect/track.h"

#include "inspect/session.h"
#include "smb/const.h"
#include "smb/neg2.h"
#include "smb/xform.h"

#include <stdlib.h>
#include <string.h>

/* Before NEGOTIATE is answered: the longest that any client sends is below 1 KiB. */
#define MAX_FRAME_FIRST 4096
/* Before logon: header, body and the longest security buffer (its length has 16 bits). */
#define MAX_FRAME_LOGON (65536 + 1024)
/* On top of the greatest payload: headers, compounds, transform. */
#define MAX_FRAME_SLACK 65536
/* What the transport header can say at all, [MS-SMB2] 2.1. */
#define MAX_FRAME_EVER 0xffffffu

void
track_init(struct track *t)
{
	*t = (struct track){ .max_frame = MAX_FRAME_FIRST };
}

void
track_fini(struct track *t)
{
	free(t->pending);
	free(t->piece[C2S]);
	free(t->piece[S2C]);
	t->pending = NULL;
	t->piece[C2S] = t->piece[S2C] = NULL;
	t->npending = t->pending_cap = 0;
}

int
track_ask(struct track *t, const struct pending *p, enum close_reason *why)
{
	if (track_asked(t, p->message_id) != NULL) {
		/* The node ends the connection for it too: whose answer is whose? */
		*why = CLOSE_BAD_SEQUENCE;
		return -1;
	}
	if (t->npending == TRACK_PENDING_MAX) {
		*why = CLOSE_PENDING_FULL;
		return -1;
	}
	if (t->npending == t->pending_cap) {
		unsigned cap = t->pending_cap == 0 ? 2 : t->pending_cap * 2;
		struct pending *x = realloc(t->pending, cap * sizeof(*x));

		if (x == NULL) {
			*why = CLOSE_NO_MEMORY;
			return -1;
		}
		t->pending = x;
		t->pending_cap = cap;
	}
	t->pending[t->npending++] = *p;
	return 0;
}

const struct pending *
track_asked(const struct track *t, uint64_t message_id)
{
	for (unsigned i = 0; i < t->npending; i++)
		if (t->pending[i].message_id == message_id)
			return &t->pending[i];
	return NULL;
}

void
track_answered(struct track *t, uint64_t message_id)
{
	for (unsigned i = 0; i < t->npending; i++) {
		if (t->pending[i].message_id != message_id)
			continue;
		t->pending[i] = t->pending[--t->npending];
		break;
	}
	if (t->npending == 0) {
		free(t->pending);
		t->pending = NULL;
		t->pending_cap = 0;
	}
}

void
track_negotiate_req(struct track *t, const struct neg2_req *r)
{
	t->negotiating = true;
	t->client_mode = r->security_mode;
	t->client_caps = r->capabilities;
	t->client_guid = r->client_guid;
}

static uint32_t
max3(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t m = a > b ? a : b;

	return m > c ? m : c;
}

void
track_negotiate_resp(struct track *t, const struct neg2_resp *r)
{
	uint32_t payload = max3(r->max_transact, r->max_read, r->max_write);

	t->negotiated = true;
	t->dialect = r->dialect;
	t->server_mode = r->security_mode;
	t->server_caps = r->capabilities;
	t->signing = r->signing;
	t->compression = r->compression;
	t->cipher = r->cipher;
	/* 3.0.x has no contexts: both sides must say that they can encrypt, [MS-SMB2] 3.3.5.4. */
	if (t->dialect < SMB2_DIALECT_311 && (t->client_caps & SMB2_GLOBAL_CAP_ENCRYPTION) == 0)
		t->cipher = 0;
	t->max_frame = payload > MAX_FRAME_EVER - MAX_FRAME_SLACK ? MAX_FRAME_EVER
	                                                            : payload + MAX_FRAME_SLACK;
	if (t->max_frame < MAX_FRAME_LOGON)
		t->max_frame = MAX_FRAME_LOGON;
}

struct channel *
track_channel(const struct track *t, uint64_t session_id)
{
	struct channel *c = t->channels;

	while (c != NULL && channel_session_id(c) != session_id)
		c = *channel_next(c);
	return c;
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

int
track_piece(struct track *t, enum dir dir, const uint8_t *p, size_t avail)
{
	struct sealed_piece *s;
	struct xform x;

	free(t->piece[dir]);
	t->piece[dir] = NULL;
	if (p == NULL || avail < NBSS_HDR_LEN ||
	    xform_get(&x, p + NBSS_HDR_LEN, avail - NBSS_HDR_LEN) == -1)
		return 0;
	s = t->piece[dir] = malloc(sizeof(*s));
	if (s == NULL)
		return -1;
	memcpy(s->nonce, x.nonce, sizeof(s->nonce));
	s->size = x.original_size;
	s->session_id = x.session_id;
	return 0;
}

int
track_channel_add(struct track *t, struct channel *c, enum close_reason *why)
{
	if (t->nchannels == TRACK_SESSIONS_MAX) {
		*why = CLOSE_SESSIONS_FULL;
		return -1;
	}
	*channel_next(c) = t->channels;
	t->channels = c;
	t->nchannels++;
	return 0;
}

/* Takes out the one that *link points to, if any. */
static struct channel *
track_take(struct track *t, struct channel **link)
{
	struct channel *c = *link;

	if (c == NULL)
		return NULL;
	*link = *channel_next(c);
	*channel_next(c) = NULL;
	t->nchannels--;
	return c;
}

struct channel *
track_channel_take(struct track *t, uint64_t session_id)
{
	struct channel **link = &t->channels;

	while (*link != NULL && channel_session_id(*link) != session_id)
		link = channel_next(*link);
	return track_take(t, link);
}

struct channel *
track_channel_any(struct track *t)
{
	return track_take(t, &t->channels);
}
