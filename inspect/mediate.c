/* mediate.c: what is done with a held message: noted, refused, rewritten or passed */
#include "config.h"

#include "inspect/mediate.h"

#include "auth/keys.h"
#include "auth/seal.h"
#include "auth/sign.h"
#include "inspect/logon.h"
#include "inspect/query.h"
#include "inspect/setup.h"
#include "inspect/sharing.h"
#include "inspect/smb1.h"
#include "inspect/view.h"
#include "policy/policy.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/xform.h"
#include "stats/stats.h"

#include <inttypes.h>
#include <string.h>

/*
 *	        requests                              answers
 *	NEGOTIATE      note                           facts of the connection
 *	SESSION_SETUP  binding? ─ forbidden ─► ECHO   channel of a session, its keys
 *	IOCTL          an interface query: query.h    list decided and built anew
 *	LOGOFF         note                           session gone
 *	                                 ECHO's ────► the refusal, or our list
 *
 * A refused request is replaced by an ECHO with its MessageId, so that the node's MessageId window
 * and credits go on; the refusal is made of that ECHO's answer. Nothing is dropped or inserted.
 */

static struct outcome
outcome(enum outcome_act act)
{
	return (struct outcome){ .act = act };
}

static struct outcome
end(enum close_reason why)
{
	return (struct outcome){ .act = OUTCOME_CLOSE, .why = why };
}

/* Of view.h. */

int
view_ask(struct mediate *m, const struct view *v, const struct message *msg, struct pending p,
    enum close_reason *why)
{
	const struct part2 *part = &msg->part;

	p.message_id = part->hdr.message_id;
	p.session_id = part->session_id;
	p.tree_id = part->tree_id;
	p.process_id = part->hdr.process_id;
	p.command = part->hdr.command;
	p.lifted = v->lift;
	return track_ask(&m->track, &p, why);
}

void
view_echo(struct view *v, const struct message *msg)
{
	echo2_put(view_begin(v, msg), &msg->part.hdr);
	rewrite_end(&v->rw, &msg->part);
	/* An ECHO needs no session, and so no encryption. */
	v->plain = v->sealed;
}

int
view_refuse(struct mediate *m, struct view *v, const struct message *msg, uint32_t status,
    bool sign, enum close_reason *why)
{
	const struct pending p = { .kind = PENDING_REFUSED, .status = status, .sign = sign,
		.sealed = v->sealed };

	/* No client seals a bind, [MS-SMB2] 3.2.4.1.8, nor puts any of these in a compound. */
	if (v->lift || (v->sealed && !v->alone)) {
		*why = CLOSE_BAD_SEQUENCE;
		return -1;
	}
	if (view_ask(m, v, msg, p, why) == -1)
		return -1;
	view_echo(v, msg);
	return 0;
}

struct wr *
view_begin(struct view *v, const struct message *msg)
{
	return rewrite_begin(&v->rw, &msg->part);
}

int
view_end(struct mediate *m, struct view *v, const struct message *msg, const struct signkey *k)
{
	struct rewrite *rw = &v->rw;

	rewrite_end(rw, &msg->part);
	if (k == NULL || !wr_ok(&rw->w))
		return 0;
	return sign_make(m->env->crypt, k, rw->w.base + rw->start, wr_len(&rw->w) - rw->start);
}

bool
view_signature_good(struct mediate *m, const struct message *msg)
{
	struct channel *c = track_channel(&m->track, msg->part.session_id);
	const struct signkey *k = c == NULL || m->env->crypt == NULL ? NULL : channel_signing(c);

	if (k == NULL)
		return false;
	if (sign_good(m->env->crypt, k, msg->bytes, msg->part.len)) {
		smbkeys_prove(channel_keys(c), SMBKEYS_SIGN);
		return true;
	}
	stats_add(m->env->stats, STAT_bad_signatures, 1);
	if (!smbkeys_proven(channel_keys(c), SMBKEYS_SIGN))
		channel_opaque(m->env->sessions, c, "the client signs with a key that was not derived");
	return false;
}

/* Requests. */

/* In a frame that is lifted nothing stays signed, and every answer must be seen. */
static int
lift_part(struct mediate *m, struct view *v, const struct message *msg, enum close_reason *why)
{
	struct hdr2 h = msg->part.hdr;
	struct wr *w = view_begin(v, msg);

	h.flags &= ~SMB2_FLAGS_SIGNED;
	memset(h.signature, 0, sizeof(h.signature));
	hdr2_put(w, &h);
	wr_bytes(w, msg->bytes + SMB2_HDR_LEN, msg->part.len - SMB2_HDR_LEN);
	rewrite_end(&v->rw, &msg->part);
	if (track_asked(&m->track, msg->part.hdr.message_id) != NULL)
		return 0;
	return view_ask(m, v, msg, (struct pending){ .kind = PENDING_LIFTED }, why);
}

static int
request(struct mediate *m, struct view *v, const struct message *msg, enum close_reason *why)
{
	int r = 0;

	switch (msg->part.hdr.command) {
	case SMB2_NEGOTIATE:
		return setup_negotiate_req(m, v, msg, why);
	case SMB2_SESSION_SETUP:
		return setup_session_req(m, v, msg, why);
	case SMB2_LOGOFF:
		return view_ask(m, v, msg, (struct pending){ .kind = PENDING_LOGOFF }, why);
	case SMB2_IOCTL:
		r = query_req(m, v, msg, why);
		break;
	default:
		break;
	}
	return r == 0 && v->lift ? lift_part(m, v, msg, why) : r;
}

/* Answers. */

/* What a refusal is signed with: 1, or 0 when it is not. A bind's by the session, see setup.c. */
static int
refusal_key(struct mediate *m, const struct pending *asked, struct signkey *k)
{
	const struct channel *c = track_channel(&m->track, asked->session_id);
	struct smbkeys *session;

	if (!asked->sign)
		return 0;
	if (asked->command != SMB2_SESSION_SETUP) {
		if (c == NULL || channel_signing(c) == NULL)
			return 0;
		*k = *channel_signing(c);
		return 1;
	}
	session = setup_session_keys(m, asked->session_id, NULL);
	if (session == NULL)
		return 0;
	*k = session->signing;
	k->alg = m->track.signing;
	smbkeys_unref(&session);
	return 1;
}

static int
refused_resp(struct mediate *m, struct view *v, const struct message *msg,
    const struct pending *asked)
{
	struct hdr2 h = hdr2_reply(&msg->part.hdr, asked->status, msg->part.hdr.credits);
	struct signkey k;
	int is_signed = refusal_key(m, asked, &k), r;

	h.command = asked->command;
	h.session_id = asked->session_id;
	h.tree_id = asked->tree_id;
	h.process_id = asked->process_id;
	if (asked->sealed) {
		v->seal = true;
		v->session_id = asked->session_id;
		v->keys = track_keys(&m->track, asked->session_id);
	}
	err2_put(view_begin(v, msg), &h);
	r = view_end(m, v, msg, is_signed ? &k : NULL);
	explicit_bzero(&k, sizeof(k));
	return r;
}

static bool
is_asked_for(const struct message *msg)
{
	switch (msg->part.hdr.command) {
	case SMB2_NEGOTIATE:
	case SMB2_SESSION_SETUP:
	case SMB2_LOGOFF:
		return false;
	case SMB2_IOCTL:
		return msg->part.hdr.status != STATUS_SUCCESS ||
		    ioctl2_peek(msg->bytes, msg->part.len) != FSCTL_QUERY_NETWORK_INTERFACE_INFO;
	default:
		return true;
	}
}

static uint16_t
expected_command(const struct pending *p)
{
	return p->kind == PENDING_REFUSED || p->kind == PENDING_SUBSTITUTED ? SMB2_ECHO : p->command;
}

static bool
is_interim(const struct message *msg)
{
	return msg->part.hdr.status == STATUS_PENDING &&
	    (msg->part.hdr.flags & SMB2_FLAGS_ASYNC_COMMAND) != 0;
}

static int
final_answer(struct mediate *m, struct view *v, const struct message *msg,
    const struct pending *asked, enum close_reason *why)
{
	switch ((enum pending_kind)asked->kind) {
	case PENDING_NEGOTIATE:
		return setup_negotiate_resp(m, msg, why);
	case PENDING_SESSION_SETUP:
		return setup_session_resp(m, v, msg, asked, why);
	case PENDING_LOGOFF:
		setup_logoff_resp(m, msg, asked);
		return 0;
	case PENDING_IFINFO:
		return query_resp(m, v, msg, asked, why);
	case PENDING_SUBSTITUTED:
		return query_substituted(m, v, msg, asked, why);
	case PENDING_REFUSED:
		*why = CLOSE_NO_MEMORY;
		return refused_resp(m, v, msg, asked);
	case PENDING_LIFTED:
		return 0;
	}
	return 0;
}

/*
 * An answer that came sealed because we sealed its request goes to the client as the client asked:
 * plain and signed. What query_resp() has exchanged is signed by the caller, see lower_part().
 */
static int
lower_part(struct mediate *m, struct view *v, const struct message *msg,
    const struct pending *asked, bool exchanged, enum close_reason *why)
{
	const struct channel *c = track_channel(&m->track, asked->session_id);
	const struct signkey *k = c == NULL ? NULL : channel_signing(c);
	struct rewrite *rw = &v->rw;

	*why = CLOSE_UNEXPECTED_ANSWER;
	if (k == NULL)
		return -1;
	if (!exchanged) {
		wr_bytes(view_begin(v, msg), msg->bytes, msg->part.len);
		rewrite_end(rw, &msg->part);
	}
	/* An interim answer is not signed, [MS-SMB2] 3.3.4.1.1, and shares its MessageId's nonce. */
	if (is_interim(msg) || !wr_ok(&rw->w))
		return 0;
	return sign_make(m->env->crypt, k, rw->w.base + rw->start, wr_len(&rw->w) - rw->start);
}

static int
answer(struct mediate *m, struct view *v, const struct message *msg, enum close_reason *why)
{
	const struct pending *found = track_asked(&m->track, msg->part.hdr.message_id);
	size_t done = v->rw.done;
	struct pending asked;
	int r = 0;

	if (found == NULL) {
		/* Most answers of a compound are none of our business; some must not come unasked. */
		if (is_asked_for(msg) && !v->lower)
			return 0;
		*why = CLOSE_UNEXPECTED_ANSWER;
		return -1;
	}
	asked = *found;
	if (msg->part.hdr.command != expected_command(&asked) || asked.lifted != v->lower) {
		*why = CLOSE_UNEXPECTED_ANSWER;
		return -1;
	}
	/* Interim: the real answer follows, with the same MessageId, [MS-SMB2] 3.3.4.2. */
	if (!is_interim(msg)) {
		r = final_answer(m, v, msg, &asked, why);
		if (v->wait)
			return 0;
		track_answered(&m->track, asked.message_id);
	}
	if (r == 0 && v->lower)
		r = lower_part(m, v, msg, &asked, v->rw.done != done, why);
	return r;
}

/* Frames. */

/* Is there a message in a sealed compound that must be seen? Peeked at, so it only selects. */
static bool
worth_opening(const struct mediate *m, const struct view *v, const struct xform *x,
    const uint8_t *body, size_t len)
{
	uint8_t head[IOCTL2_PEEK_LEN];
	struct hdr2 h;
	size_t off = 0;

	for (unsigned i = 0; i < CHAIN2_MAX_PARTS; i++) {
		size_t left = len - off, n = left < sizeof(head) ? left : sizeof(head);

		/* What does not look as it should is for seal_open() to judge. */
		if (seal_peek(m->env->crypt, v->keys, v->dir == C2S ? SEAL_C2S : SEAL_S2C, x->nonce,
		        body + off, off, n, head) == -1 ||
		    hdr2_get(&h, head, n) == -1)
			return true;
		if (classify_seen(&m->track, v->dir, &h, head, n, h.next != 0 ? h.next : left))
			return true;
		if (h.next == 0)
			return false;
		if (h.next % 8 != 0 || h.next > left || left - h.next < SMB2_HDR_LEN)
			return true;
		off += h.next;
	}
	return true;
}

static bool
open_with(struct mediate *m, const struct view *v, const uint8_t *msg, size_t len)
{
	return seal_open(m->env->crypt, v->keys, v->dir == C2S ? SEAL_C2S : SEAL_S2C, msg, len,
	           m->env->plain) == 0;
}

/* 1: v shows what was sealed. 0: the frame goes on as it is. -1: the connection ends. */
static int
unseal(struct mediate *m, struct view *v, enum close_reason *why)
{
	struct xform x;

	if (xform_get(&x, v->msg, v->len) == -1) {
		*why = CLOSE_BAD_MESSAGE;
		return -1;
	}
	v->sealed = true;
	v->session_id = x.session_id;
	v->keys = track_keys(&m->track, x.session_id);
	if (v->keys == NULL || !worth_opening(m, v, &x, v->msg + SMB2_TRANSFORM_LEN,
	        v->len - SMB2_TRANSFORM_LEN))
		return 0;
	if (open_with(m, v, v->msg, v->len) ||
	    (!smbkeys_proven(v->keys, SMBKEYS_SEAL) && smbkeys_try_short(v->keys) &&
	        open_with(m, v, v->msg, v->len))) {
		smbkeys_prove(v->keys, SMBKEYS_SEAL);
		v->msg = m->env->plain;
		v->len -= SMB2_TRANSFORM_LEN;
		return 1;
	}
	stats_add(m->env->stats, STAT_bad_seals, 1);
	*why = CLOSE_BAD_SEAL;
	if (smbkeys_proven(v->keys, SMBKEYS_SEAL))
		return -1;
	channel_opaque(m->env->sessions, track_channel(&m->track, x.session_id),
	    "its encrypted messages do not open with the derived keys");
	if (mediate_may_log(m))
		log_conn(LOG_LEVEL_WARN, mediate_log(m), "session %016" PRIx64
		    " is opaque: its encrypted messages do not open with the derived keys", x.session_id);
	*why = CLOSE_UNKEYED;
	return m->env->policy->unkeyed == POL_UNKEYED_REFUSE ? -1 : 0;
}

/* The answer to a frame that was lifted: it came sealed, and each part of it was asked so. */
static bool
is_lowered(const struct mediate *m, const struct view *v)
{
	const struct pending *p;
	struct hdr2 h;

	if (v->dir != S2C || !v->sealed || hdr2_get(&h, v->msg, v->len) == -1)
		return false;
	p = track_asked(&m->track, h.message_id);
	return p != NULL && p->lifted;
}

/* The changed frame, sealed where it has to be. */
static struct outcome
replace(struct mediate *m, struct view *v)
{
	uint8_t *edit = m->env->edit;
	size_t n = rewrite_finish(&v->rw);
	bool sealed = v->sealed ? !v->plain && !v->lower : v->lift || v->seal;

	if (n == 0 || n + SMB2_TRANSFORM_LEN - NBSS_HDR_LEN > NBSS_LEN_MAX)
		return end(CLOSE_LONG_FRAME);
	if (!sealed)
		return (struct outcome){ .act = OUTCOME_REPLACE, .bytes = v->rw.w.base, .len = n };
	/* rewrite_init() left room in front for the TRANSFORM header. */
	n -= NBSS_HDR_LEN;
	if (v->keys == NULL ||
	    seal_make(m->env->crypt, v->keys, v->dir == C2S ? SEAL_C2S : SEAL_S2C, v->session_id,
	        edit + NBSS_HDR_LEN, n) == -1)
		return end(CLOSE_NO_MEMORY);
	nbss_put(edit, (uint32_t)(SMB2_TRANSFORM_LEN + n));
	return (struct outcome){ .act = OUTCOME_REPLACE, .bytes = edit,
		.len = NBSS_HDR_LEN + SMB2_TRANSFORM_LEN + n };
}

static bool
is_sealed(const struct view *v)
{
	return v->len >= SMB2_TRANSFORM_LEN && v->msg[0] == (SMB2_TRANSFORM_ID & 0xff);
}

static struct outcome
messages(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len)
{
	struct view v = { .dir = dir, .msg = frame + NBSS_HDR_LEN, .len = len - NBSS_HDR_LEN };
	enum close_reason why = CLOSE_BAD_MESSAGE;
	struct chain2 chain;
	struct message msg;
	int r;

	if (is_sealed(&v)) {
		r = unseal(m, &v, &why);
		if (r != 1)
			return r == 0 ? outcome(OUTCOME_PASS) : end(why);
	}
	chain2_init(&chain, v.msg, v.len);
	v.alone = chain2_next(&chain, &msg.part) == 1 && msg.part.last;
	v.lower = is_lowered(m, &v);
	if (dir == C2S)
		query_way(m, &v);
	rewrite_init(&v.rw, v.msg, v.len, m->env->edit + SMB2_TRANSFORM_LEN,
	    sizeof(m->env->edit) - SMB2_TRANSFORM_LEN);
	chain2_init(&chain, v.msg, v.len);
	while ((r = chain2_next(&chain, &msg.part)) == 1) {
		msg.bytes = v.msg + msg.part.off;
		r = dir == C2S ? request(m, &v, &msg, &why) : answer(m, &v, &msg, &why);
		if (r == -1)
			return end(why);
		if (v.wait)
			return outcome(OUTCOME_WAIT);
	}
	if (r == -1)
		return end(CLOSE_BAD_CHAIN);
	return v.rw.changed ? replace(m, &v) : outcome(OUTCOME_PASS);
}

struct verdict
mediate_head(struct mediate *m, enum dir dir, const uint8_t *p, size_t avail)
{
	struct verdict v = classify(&m->track, dir, p, avail);
	bool piecewise = v.act == VERDICT_PASS && v.n < v.frame;

	/* Only a compound that is too long to be held is asked about again. */
	if ((piecewise || m->track.piece[dir] != NULL) &&
	    track_piece(&m->track, dir, piecewise ? p : NULL, avail) == -1)
		return (struct verdict){ .act = VERDICT_CLOSE, .why = CLOSE_NO_MEMORY };
	return v;
}

struct outcome
mediate_held(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len)
{
	stats_add(m->env->stats, STAT_held, 1);
	if (frame[NBSS_HDR_LEN] == (SMB1_PROTOCOL_ID & 0xff))
		return smb1_held(m, dir, frame, len);
	return messages(m, dir, frame, len);
}

void
mediate_init(struct mediate *m, struct mediate_env *env, const char *listener,
    const struct channel_ends *self, void (*wake)(void *arg), void *arg)
{
	*m = (struct mediate){ .env = env, .listener = listener, .self = *self, .wake = wake,
		.wake_arg = arg };
	MAGIC_SET(m, MEDIATE_MAGIC);
	track_init(&m->track);
	m->track.crypt = env->crypt;
	logons_init(&m->logons, env->keyc, env->crypt, mediate_wake, m);
}

void
mediate_fini(struct mediate *m)
{
	struct channel *c;

	logons_fini(&m->logons);
	sharing_free(&m->sharing);
	smb1_free(&m->smb1);
	while ((c = track_channel_any(&m->track)) != NULL)
		setup_leave(m, &c);
	track_fini(&m->track);
	MAGIC_CLEAR(m);
}
