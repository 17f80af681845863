/* frame.c: a held frame: its messages, and the frame that goes on in its place */
#include "config.h"

#include "inspect/frame.h"

#include "auth/keys.h"
#include "auth/seal.h"
#include "auth/sign.h"
#include "inspect/parts.h"
#include "policy/policy.h"
#include "smb/answer2.h"
#include "smb/compress.h"
#include "smb/const.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/xform.h"
#include "stats/stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Offset of NextCommand in the header, [MS-SMB2] 2.2.1. */
#define HDR2_NEXT 20

static struct outcome
frame_pass(void)
{
	return (struct outcome){ .act = OUTCOME_PASS };
}

static struct outcome
frame_close(enum close_reason why)
{
	return (struct outcome){ .act = OUTCOME_CLOSE, .why = why };
}

static enum seal_dir
seal_dir(const struct frame *f)
{
	return f->dir == C2S ? SEAL_C2S : SEAL_S2C;
}

/* Room for the i-th message: the worker's, which grows to what its longest compound needs. */
static struct message *
frame_room(struct frame *f, struct mediate_env *env, unsigned i)
{
	if (i == env->messages_cap) {
		unsigned cap = i == 0 ? 8 : i * 2;
		struct message *x = realloc(env->messages, cap * sizeof(*x));

		if (x == NULL)
			return NULL;
		env->messages = x;
		env->messages_cap = cap;
	}
	f->msg = env->messages;
	return &f->msg[i];
}

/*
 * Is there a message in a sealed compound that must be seen? Peeked at, so it only selects. If not,
 * all heads are in f.
 */
static bool
worth_opening(struct mediate *m, struct frame *f, const struct xform *x)
{
	const uint8_t *body = f->bytes + SMB2_TRANSFORM_LEN;
	uint8_t head[IOCTL2_PEEK_LEN];
	struct chain2 chain;
	struct message *msg;

	chain2_init(&chain, NULL, f->len - SMB2_TRANSFORM_LEN);
	while (!chain.end) {
		size_t off = chain.off, left = chain.len - off;
		size_t n = left < sizeof(head) ? left : sizeof(head);

		/* What does not look as it should is for seal_open() to judge. */
		msg = frame_room(f, m->env, f->peeked);
		if (msg == NULL ||
		    seal_peek(m->env->crypt, f->keys, seal_dir(f), x->nonce, body + off, off, n,
		        head) == -1 ||
		    hdr2_get(&msg->part.hdr, head, n) == -1 ||
		    chain2_take(&chain, &msg->part) == -1 ||
		    classify_seen(&m->track, f->dir, &msg->part.hdr, head, n, msg->part.len))
			return true;
		f->peeked++;
	}
	return false;
}

static bool
open_with(struct mediate *m, const struct frame *f)
{
	return seal_open(m->env->crypt, f->keys, seal_dir(f), f->bytes, f->len, m->env->plain) == 0;
}

/* The tag is not that of the session's keys. */
static struct outcome
open_failed(struct mediate *m, const struct frame *f)
{
	static const char because[] = "its encrypted messages do not open with the derived keys";
	struct log_fields fields;

	stats_add(m->env->stats, STAT_bad_seals, 1);
	if (smbkeys_proven(f->keys, SMBKEYS_SEAL))
		return frame_close(CLOSE_BAD_SEAL);
	channel_opaque(m->env->sessions, track_channel(&m->track, f->session_id), NOKEY_wrong_key,
	    because);
	m->track.bare = true;
	fields = mediate_log(m, LOG_EVENT_KEYD);
	fields.session = f->session_id;
	fields.reason = because;
	log_conn(LOG_LEVEL_WARN, fields, "session 0x%016" PRIx64 " is opaque: %s", f->session_id,
	    because);
	return m->env->policy->unkeyed == POL_UNKEYED_REFUSE ? frame_close(CLOSE_UNKEYED)
	                                                     : frame_pass();
}

/* f->sealed where f shows what was sealed; else PASS means that it goes on as it is. */
static struct outcome
frame_open(struct frame *f, struct mediate *m)
{
	struct xform x;

	if (xform_get(&x, f->bytes, f->len) == -1)
		return frame_close(CLOSE_BAD_MESSAGE);
	f->session_id = x.session_id;
	f->keys = track_keys(&m->track, x.session_id);
	if (f->keys == NULL || !worth_opening(m, f, &x))
		return frame_pass();
	f->peeked = 0;
	if (!open_with(m, f) && (smbkeys_proven(f->keys, SMBKEYS_SEAL) ||
	        !smbkeys_try_short(f->keys) || !open_with(m, f)))
		return open_failed(m, f);
	smbkeys_prove(f->keys, SMBKEYS_SEAL);
	f->bytes = m->env->plain;
	f->len -= SMB2_TRANSFORM_LEN;
	f->sealed = f->seal = true;
	return frame_pass();
}

/*
 * What came compressed is read as if it had not, [MS-SMB2] 3.1.4.4: it was signed before, and is
 * sealed after that. What takes its place is not compressed. False: it cannot be read.
 */
static bool
frame_uncompress(struct frame *f, struct mediate *m)
{
	const struct track *t = &m->track;
	uint8_t *out = m->env->uncompressed;
	size_t n;

	if (!t->compression || f->bytes[0] != (SMB2_COMPRESSION_ID & 0xff))
		return true;
	n = compress_len(t->chained, f->bytes, f->len);
	if (n == 0 || n > HOLD_MAX - NBSS_HDR_LEN ||
	    compress_open(t->chained, f->bytes, f->len, out, n) != n)
		return false;
	f->bytes = out;
	f->len = n;
	return true;
}

/* The answer to a frame that was lifted: it came sealed, and each message of it was asked so. */
static bool
is_lowered(const struct frame *f, const struct track *t)
{
	const struct pending *p;

	if (f->dir != S2C || !f->sealed || f->n == 0)
		return false;
	p = track_asked(t, f->msg[0].part.hdr.message_id);
	return p != NULL && p->way == WAY_LIFT;
}

/* All but its part, which is there. */
static void
message_init(struct message *msg, const uint8_t *bytes)
{
	msg->bytes = bytes;
	msg->signature = SIGNATURE_UNCHECKED;
	msg->way = WAY_NONE;
	msg->vouched = false;
	msg->max_output = msg->output = 0;
}

struct outcome
frame_read(struct frame *f, struct mediate *m, enum dir dir, const uint8_t *bytes, size_t len)
{
	struct outcome o;
	struct chain2 chain;
	struct message *msg;

	*f = (struct frame){ .dir = dir };
	f->bytes = bytes + NBSS_HDR_LEN;
	f->len = len - NBSS_HDR_LEN;
	if (f->len >= SMB2_TRANSFORM_LEN && f->bytes[0] == (SMB2_TRANSFORM_ID & 0xff)) {
		o = frame_open(f, m);
		if (o.act != OUTCOME_PASS || !f->sealed)
			return o;
	}
	/* What could not be read of a compressed frame was left to the policy. */
	if (!frame_uncompress(f, m))
		return m->track.refuse_compressed || m->track.barred != NULL
		    ? frame_close(CLOSE_COMPRESSION)
		    : frame_pass();
	chain2_init(&chain, f->bytes, f->len);
	/* The walk ends by itself at CHAIN2_MAX_PARTS. */
	do {
		msg = frame_room(f, m->env, f->n);
		if (msg == NULL)
			return frame_close(CLOSE_NO_MEMORY);
		if (chain2_next(&chain, &msg->part) != 1)
			return frame_close(CLOSE_BAD_CHAIN);
		message_init(msg, f->bytes + msg->part.off);
		f->n++;
	} while (!msg->part.last);
	f->lower = is_lowered(f, &m->track);
	if (f->lower)
		f->seal = false;
	/* Room in front for a TRANSFORM header. */
	f->w = wr_init(m->env->edit + SMB2_TRANSFORM_LEN,
	    sizeof(m->env->edit) - SMB2_TRANSFORM_LEN);
	return frame_pass();
}

struct outcome
frame_read_part(struct frame *f, struct mediate *m, enum dir dir, const uint8_t *bytes,
    const struct parts *w)
{
	struct message *msg;

	*f = (struct frame){ .dir = dir, .fixed = true, .front = w->front };
	msg = frame_room(f, m->env, f->n);
	if (msg == NULL)
		return frame_close(CLOSE_NO_MEMORY);
	f->bytes = bytes + w->front;
	f->len = w->part.len;
	f->n = 1;
	msg->part = w->part;
	message_init(msg, f->bytes);
	f->w = wr_init(m->env->edit, sizeof(m->env->edit));
	return frame_pass();
}

bool
frame_alone(const struct frame *f)
{
	return f->n == 1 && !f->fixed;
}

bool
frame_foreign(const struct frame *f, const struct track *t, uint64_t session_id)
{
	if (f->sealed)
		return false;
	for (unsigned i = 0; i < f->n; i++)
		if (f->msg[i].part.session_id != session_id &&
		    track_opaque(t, f->msg[i].part.session_id))
			return true;
	return false;
}

bool
frame_answers_fit(const struct frame *f)
{
	size_t room = HOLD_MAX - NBSS_HDR_LEN - SMB2_TRANSFORM_LEN;

	for (unsigned i = 0; i < f->n; i++) {
		const size_t n = answer2_room(&f->msg[i].part, f->msg[i].bytes);

		if (n > room)
			return false;
		room -= n;
	}
	return true;
}

enum message_signature
frame_signature(struct mediate *m, struct message *msg)
{
	struct channel *c = track_channel(&m->track, msg->part.session_id);
	const struct signkey *k = track_signing(&m->track, msg->part.session_id);

	if (msg->signature != SIGNATURE_UNCHECKED)
		return msg->signature;
	if ((msg->part.hdr.flags & SMB2_FLAGS_SIGNED) == 0)
		return msg->signature = SIGNATURE_NONE;
	if (k == NULL)
		return msg->signature = SIGNATURE_UNKNOWN;
	if (sign_good(m->env->crypt, k, msg->bytes, msg->part.len)) {
		smbkeys_prove(channel_keys(c), SMBKEYS_SIGN);
		return msg->signature = SIGNATURE_GOOD;
	}
	stats_add(m->env->stats, STAT_bad_signatures, 1);
	if (!smbkeys_proven(channel_keys(c), SMBKEYS_SIGN)) {
		channel_opaque(m->env->sessions, c, NOKEY_wrong_key,
		    "the client signs with a key that was not derived");
		m->track.bare = true;
	}
	return msg->signature = SIGNATURE_BAD;
}

bool
message_interim(const struct message *msg)
{
	return msg->part.hdr.status == STATUS_PENDING;
}

void
frame_seal(struct frame *f, const struct track *t, uint64_t session_id)
{
	f->seal = true;
	f->session_id = session_id;
	f->keys = track_keys(t, session_id);
}

bool
frame_related_follows(const struct frame *f, const struct message *msg)
{
	const struct message *next = msg + 1;

	return next < f->msg + f->n &&
	    (next->part.hdr.flags & SMB2_FLAGS_RELATED_OPERATIONS) != 0;
}

bool
frame_fits(const struct frame *f, const struct message *msg, size_t len)
{
	/* Each of the others may become an ERROR response that is a little longer than it was. */
	const size_t slack = f->n * 16;

	if (f->fixed)
		return len <= msg->part.len;
	return wr_len(&f->w) + (f->len - f->done) - msg->part.len + len + slack <= f->w.cap;
}

struct wr *
frame_begin(struct frame *f, const struct message *msg)
{
	if (!f->changed && f->fixed)
		wr_bytes(&f->w, f->bytes - f->front, f->front);
	else if (!f->changed)
		wr_zero(&f->w, NBSS_HDR_LEN);
	f->changed = true;
	wr_bytes(&f->w, f->bytes + f->done, msg->part.off - f->done);
	f->done = msg->part.off + msg->part.len;
	f->start = wr_len(&f->w);
	return &f->w;
}

void
frame_end(struct frame *f, const struct message *msg)
{
	uint32_t next = 0;

	if (f->fixed) {
		size_t n = wr_len(&f->w) - f->start;

		/* What is too long ends the connection in frame_finish(). */
		if (n < msg->part.len)
			wr_zero(&f->w, msg->part.len - n);
		next = msg->part.hdr.next;
	} else if (!msg->part.last) {
		/* [MS-SMB2] 3.2.4.1.4: the next header starts on a multiple of 8. */
		wr_pad(&f->w, f->start, 8);
		next = (uint32_t)(wr_len(&f->w) - f->start);
	}
	wr_u32_at(&f->w, f->start + HDR2_NEXT, next);
}

int
frame_sign(struct frame *f, struct crypt *c, const struct signkey *k)
{
	/* What did not fit ends the connection in frame_finish(). */
	if (!wr_ok(&f->w))
		return 0;
	return sign_make(c, k, f->w.base + f->start, wr_len(&f->w) - f->start);
}

struct outcome
frame_finish(struct frame *f, struct mediate *m)
{
	uint8_t *edit = m->env->edit;
	size_t n;

	if (!f->changed)
		return frame_pass();
	if (f->fixed)
		return wr_ok(&f->w) && wr_len(&f->w) == f->front + f->len
		    ? (struct outcome){ .act = OUTCOME_REPLACE, .bytes = f->w.base,
			.len = wr_len(&f->w) }
		    : frame_close(CLOSE_LONG_FRAME);
	wr_bytes(&f->w, f->bytes + f->done, f->len - f->done);
	n = wr_len(&f->w) - NBSS_HDR_LEN;
	if (!wr_ok(&f->w) || n + SMB2_TRANSFORM_LEN > NBSS_LEN_MAX)
		return frame_close(CLOSE_LONG_FRAME);
	if (!f->seal) {
		nbss_put(f->w.base, (uint32_t)n);
		return (struct outcome){ .act = OUTCOME_REPLACE, .bytes = f->w.base,
			.len = NBSS_HDR_LEN + n };
	}
	if (f->keys == NULL || seal_make(m->env->crypt, f->keys, seal_dir(f), f->session_id,
	        edit + NBSS_HDR_LEN, n) == -1)
		return frame_close(CLOSE_NO_MEMORY);
	nbss_put(edit, (uint32_t)(SMB2_TRANSFORM_LEN + n));
	return (struct outcome){ .act = OUTCOME_REPLACE, .bytes = edit,
		.len = NBSS_HDR_LEN + SMB2_TRANSFORM_LEN + n };
}
