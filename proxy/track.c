/* track.c: the protocol facts of one connection, taken from complete messages in one place */
#include "config.h"

#include "proxy/track.h"

#include "proxy/session.h"
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
	free(t->channels);
	t->pending = NULL;
	t->channels = NULL;
	t->npending = t->pending_cap = t->nchannels = 0;
}

int
track_ask(struct track *t, const struct pending *p, enum close_reason *why)
{
	if (track_asked(t, p->message_id) != NULL) {
		/* The node will end the connection for this too; the answers could not be told apart. */
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
	t->server_guid = r->server_guid;
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
	for (unsigned i = 0; i < t->nchannels; i++)
		if (channel_session_id(t->channels[i]) == session_id)
			return t->channels[i];
	return NULL;
}

struct smbkeys *
track_keys(const struct track *t, uint64_t session_id)
{
	const struct channel *c = t->crypt == NULL ? NULL : track_channel(t, session_id);

	return c == NULL ? NULL : channel_keys(c);
}

void
track_piece(struct track *t, enum dir dir, const uint8_t *p, size_t avail)
{
	struct sealed_piece *s = &t->piece[dir];
	struct xform x;

	s->on = false;
	if (p == NULL || avail < NBSS_HDR_LEN ||
	    xform_get(&x, p + NBSS_HDR_LEN, avail - NBSS_HDR_LEN) == -1)
		return;
	s->on = true;
	memcpy(s->nonce, x.nonce, sizeof(s->nonce));
	s->size = x.original_size;
	s->session_id = x.session_id;
}

int
track_channel_add(struct track *t, struct channel *c, enum close_reason *why)
{
	struct channel **x;

	if (t->nchannels == TRACK_SESSIONS_MAX) {
		*why = CLOSE_SESSIONS_FULL;
		return -1;
	}
	x = realloc(t->channels, (t->nchannels + 1) * sizeof(*x));
	if (x == NULL) {
		*why = CLOSE_NO_MEMORY;
		return -1;
	}
	t->channels = x;
	t->channels[t->nchannels++] = c;
	return 0;
}

static struct channel *
take(struct track *t, unsigned i)
{
	struct channel *c = t->channels[i];

	t->channels[i] = t->channels[--t->nchannels];
	return c;
}

struct channel *
track_channel_take(struct track *t, uint64_t session_id)
{
	for (unsigned i = 0; i < t->nchannels; i++)
		if (channel_session_id(t->channels[i]) == session_id)
			return take(t, i);
	return NULL;
}

struct channel *
track_channel_any(struct track *t)
{
	return t->nchannels == 0 ? NULL : take(t, 0);
}
