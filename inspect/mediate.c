/* mediate.c: a held frame is taken apart, judged, and what is decided is carried out */
#include "config.h"

#include "inspect/mediate.h"

#include "auth/keys.h"
#include "inspect/admission.h"
#include "inspect/barred.h"
#include "inspect/carry.h"
#include "inspect/frame.h"
#include "inspect/heads.h"
#include "inspect/parts.h"
#include "inspect/query.h"
#include "inspect/session_over.h"
#include "inspect/setup.h"
#include "inspect/sharing.h"
#include "inspect/shown.h"
#include "inspect/smb1.h"
#include "inspect/trace.h"
#include "inspect/unheld.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "stats/stats.h"

#include <string.h>

/* Offset of Status in the header, [MS-SMB2] 2.2.1. */
#define HDR2_STATUS 8

/*
 * A held frame is taken apart (frame.c), each of its messages is judged in its turn (setup.c,
 * query.c, admission.c; smb1.c), and what is decided is carried out (carry.c):
 *
 *	        requests                              answers
 *	NEGOTIATE      note                           facts of the connection
 *	SESSION_SETUP  note, or refuse                channel of a session, its keys
 *	IOCTL          an interface query: query.h    list decided and built anew
 *	LOGOFF         note                           session gone
 *	               what stands in         the refusal, or our list
 *
 * Judges look down only: none of them calls what is above it.
 */

static struct decision
judge_request(struct mediate *m, const struct frame *f, const struct message *msg)
{
	switch (msg->part.hdr.command) {
	case SMB2_NEGOTIATE:
		return setup_negotiate(m, msg);
	case SMB2_SESSION_SETUP:
		return setup_session(m, f, msg);
	case SMB2_LOGOFF:
		return setup_logoff(m, msg);
	case SMB2_IOCTL:
		return query_request(f, msg);
	default:
		return decide(DECIDE_PASS);
	}
}

/*
 * So much is unanswered that this one is answered alone. In a compound the ECHO would take the
 * session from the messages related to it.
 */
static struct decision
crowded(struct mediate *m, const struct frame *f, const struct message *msg, struct decision d)
{
	if ((d.act != DECIDE_NOTE && d.act != DECIDE_STAND_IN) || !frame_alone(f) || f->lift ||
	    msg->part.hdr.command == SMB2_NEGOTIATE || msg->part.hdr.command == SMB2_LOGOFF)
		return d;
	logons_refused(&m->logons, msg->part.hdr.message_id);
	return (struct decision){ .act = DECIDE_REFUSE, .status = STATUS_INSUFFICIENT_RESOURCES,
		.sign = track_channel(&m->track, msg->part.session_id) != NULL };
}

/* It goes on although its client has not been told yet that the policy lets it in. */
static bool
asks_ahead(const struct mediate *m, const struct message *msg)
{
	return msg->part.hdr.command == SMB2_TREE_CONNECT &&
	    track_opening(&m->track, msg->part.session_id) &&
	    (admission_picks(&mediate_rules(m)->auth) ||
	        m->env->policy->unkeyed == POL_UNKEYED_REFUSE);
}

static struct outcome
mediate_request(struct mediate *m, struct frame *f, const struct message *msg)
{
	struct decision d;

	if (barred_has(m->track.barred, msg->part.session_id))
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_SESSION_REFUSED };
	if (asks_ahead(m, msg))
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_BAD_SEQUENCE };
	if (m->track.bare && !f->sealed && (msg->part.hdr.flags & SMB2_FLAGS_SIGNED) != 0 &&
	    !shown_message(m, msg->part.session_id, false))
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_UNKEYED };
	d = judge_request(m, f, msg);
	if (track_crowded(&m->track))
		d = crowded(m, f, msg, d);
	if (m->traced)
		trace_request(m, msg, &d);
	return carry_request(m, f, msg, &d);
}

/* The final answer to a request that was noted. */
static struct decision
judge_answer(struct mediate *m, const struct frame *f, const struct message *msg,
    const struct pending *asked, struct ifinfo list[IFINFO_MAX])
{
	switch ((enum pending_kind)asked->kind) {
	case PENDING_NEGOTIATE:
		return setup_negotiate_answer(m, msg);
	case PENDING_SESSION_SETUP:
		return setup_session_answer(m, f, msg, asked);
	case PENDING_LOGOFF:
		return setup_logoff_answer(m, msg, asked);
	case PENDING_IFINFO:
		return query_answer(m, f, msg, asked, list);
	case PENDING_REFUSED:
		return (struct decision){ .act = DECIDE_CHANGE, .status = asked->status,
			.sign = asked->sign };
	case PENDING_NEIGHBOUR:
		break;
	}
	return decide(DECIDE_PASS);
}

/* Most answers are none of our business; these must not come unasked. Refusals change nothing. */
static bool
needs_request(const struct message *msg)
{
	const uint32_t status = msg->part.hdr.status;

	switch (msg->part.hdr.command) {
	case SMB2_NEGOTIATE:
	case SMB2_SESSION_SETUP:
	case SMB2_LOGOFF:
		return status == STATUS_SUCCESS || status == STATUS_MORE_PROCESSING_REQUIRED;
	case SMB2_IOCTL:
		return ioctl2_peek(msg->bytes, msg->part.len) == FSCTL_QUERY_NETWORK_INTERFACE_INFO;
	default:
		return false;
	}
}

/*
 * Is it the answer to what the node was asked, and sealed as that was? A refusal may be plain: it
 * says nothing that is to be changed. A LOGOFF is answered under another command by some servers;
 * its MessageId says enough.
 */
static bool
answers(const struct frame *f, const struct message *msg, const struct pending *asked)
{
	const uint16_t command = msg->part.hdr.command;

	return (command == carry_sent(asked) ||
	        (asked->kind == PENDING_LOGOFF && !needs_request(msg))) &&
	    ((asked->way == WAY_LIFT) == f->lower ||
	        (!f->sealed && msg->part.hdr.status != STATUS_SUCCESS &&
	            err2_is(msg->bytes, msg->part.len)));
}

/* Of the session, and not of what was asked? A guess that is right for nearly all, and cheap. */
static bool
says_ended(const uint8_t *p, size_t avail)
{
	static const uint8_t deleted[4] = { 0x03, 0x02, 0x00, 0xc0 };
	static const uint8_t expired[4] = { 0x5c, 0x03, 0x00, 0xc0 };

	return avail >= SMB2_HDR_LEN && p[HDR2_STATUS + 3] == 0xc0 &&
	    (memcmp(p + HDR2_STATUS, deleted, sizeof(deleted)) == 0 ||
	        memcmp(p + HDR2_STATUS, expired, sizeof(expired)) == 0);
}

/*
 * Is it of a session that was refused, whose client has asked for more before it was told so? Not
 * so a number that the node gives anew, or what the node says by itself.
 */
static bool
answers_barred(const struct mediate *m, const struct message *msg, const struct pending *asked)
{
	return barred_has(m->track.barred, msg->part.session_id) &&
	    msg->part.hdr.message_id != UINT64_MAX &&
	    (asked == NULL || asked->kind != PENDING_SESSION_SETUP || asked->session_id != 0);
}

static struct outcome
mediate_answer(struct mediate *m, struct frame *f, const struct message *msg)
{
	const struct pending *found = track_asked(&m->track, msg->part.hdr.message_id);
	struct decision d;
	struct ifinfo list[IFINFO_MAX];
	struct pending asked;

	if (answers_barred(m, msg, found))
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_SESSION_REFUSED };
	/* Of frames that pass this is seen in their heads. */
	if (says_ended(msg->bytes, msg->part.len))
		session_said(m, msg->bytes, msg->part.len);
	if (found == NULL && !f->lower && !needs_request(msg))
		return (struct outcome){ .act = OUTCOME_PASS };
	if (found == NULL || !answers(f, msg, found))
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_UNEXPECTED_ANSWER };
	asked = *found;
	if (!message_interim(msg)) {
		d = judge_answer(m, f, msg, &asked, list);
		if (m->traced)
			trace_answer(m, msg, &asked, &d);
		if (d.act != DECIDE_WAIT)
			track_answered(&m->track, asked.message_id);
	} else if (asked.stand_in) {
		/* Of what the client has asked. */
		d = (struct decision){ .act = DECIDE_CHANGE, .status = STATUS_PENDING };
	} else {
		d = decide(DECIDE_PASS);
	}
	return carry_answer(m, f, msg, &asked, &d);
}

static struct outcome
mediate_messages(struct mediate *m, struct frame *f)
{
	/* An answer in it may end the session that the rest of it is sealed with. */
	struct smbkeys *keys = f->keys == NULL ? NULL : smbkeys_ref(f->keys);
	struct outcome o = { .act = OUTCOME_PASS };

	if (f->dir == C2S)
		query_ways(m, f);
	for (unsigned i = 0; i < f->n && o.act == OUTCOME_PASS; i++)
		o = f->dir == C2S ? mediate_request(m, f, &f->msg[i])
		                  : mediate_answer(m, f, &f->msg[i]);
	if (o.act == OUTCOME_PASS)
		o = frame_finish(f, m);
	/* One that waits is shown again. */
	if ((o.act == OUTCOME_PASS || o.act == OUTCOME_REPLACE) && !heads_logon(f))
		heads_frame(m, f);
	if (keys != NULL)
		smbkeys_unref(&keys);
	return o;
}

static struct outcome
mediate_smb2(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len)
{
	struct outcome o;
	struct frame f;

	o = frame_read(&f, m, dir, frame, len);
	if (o.act != OUTCOME_PASS)
		return o;
	if (f.n > 0)
		return mediate_messages(m, &f);
	heads_unopened(m, &f);
	return o;
}

/* One message out of a frame that passes part by part. */
static struct outcome
mediate_part_held(struct mediate *m, enum dir dir, const uint8_t *part, struct parts *w)
{
	struct outcome o;
	struct frame f;

	o = frame_read_part(&f, m, dir, part, w);
	if (o.act == OUTCOME_PASS)
		o = mediate_messages(m, &f);
	if (o.act != OUTCOME_WAIT)
		parts_taken(w);
	return o;
}

static struct outcome
mediate_smb1(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len)
{
	const struct decision d = smb1_judge(m, dir, frame + NBSS_HDR_LEN, len - NBSS_HDR_LEN);

	return carry_smb1(m, frame, len, &d);
}

/* A frame passes as it is. */
static void
count_passing(struct mediate *m, enum dir dir, const uint8_t *p)
{
	if (p[0] == (SMB2_PROTOCOL_ID & 0xff))
		heads_plain(m, dir, p);
	else if (p[0] != (SMB1_PROTOCOL_ID & 0xff))
		heads_covered(m, dir, &m->env->peeked);
}

/* v is the verdict on a head that there is more to be said of. */
static __attribute__((noinline)) struct verdict
head_judged(struct mediate *m, struct verdict v, enum dir dir, const uint8_t *p, size_t avail)
{
	if (dir == S2C && avail > NBSS_HDR_LEN &&
	    says_ended(p + NBSS_HDR_LEN, avail - NBSS_HDR_LEN))
		session_said(m, p + NBSS_HDR_LEN, avail - NBSS_HDR_LEN);
	if (v.act == VERDICT_PARTS) {
		v = parts_head(&m->track, dir, p, avail);
		if (v.act == VERDICT_PASS)
			heads_part(m, dir, m->track.parts[dir]);
	} else {
		if (m->track.parts[dir] != NULL)
			parts_end(&m->track, dir);
		if (v.act == VERDICT_PASS && v.n > NBSS_HDR_LEN)
			count_passing(m, dir, p + NBSS_HDR_LEN);
	}
	if (m->track.bare && dir == C2S && avail > NBSS_HDR_LEN)
		v = shown_head(m, v, 0, p + NBSS_HDR_LEN, avail - NBSS_HDR_LEN);
	return v;
}

struct verdict
mediate_head(struct mediate *m, enum dir dir, const uint8_t *p, size_t avail)
{
	const struct verdict v = classify(&m->track, dir, p, avail, &m->env->peeked);

	/* Nearly all pass, and there is no more to be said. */
	if (v.n > NBSS_HDR_LEN && m->track.parts[dir] == NULL && !m->track.bare &&
	    (v.act == VERDICT_PASS ? heads_plain_common(m, dir, p + NBSS_HDR_LEN)
	                           : v.act == VERDICT_HOLD && dir == C2S))
		return v;
	return head_judged(m, v, dir, p, avail);
}

struct verdict
mediate_part(struct mediate *m, enum dir dir, const uint8_t *p, size_t avail, size_t left)
{
	/* What is sealed does not begin like a message. */
	const bool head = m->track.parts[dir]->sealed == 0;
	struct verdict v = parts_next(&m->track, dir, p, avail, left);
	struct parts *w = m->track.parts[dir];
	struct outcome o;

	if (head && dir == S2C && says_ended(p, avail))
		session_said(m, p, avail);
	if (head && dir == C2S && m->track.bare)
		v = shown_head(m, v, w->last_session, p, avail);
	if (v.act == VERDICT_PASS)
		heads_part(m, dir, w);
	if (v.act == VERDICT_CLOSE || !w->peeked)
		return v;
	o = unheld(m, dir, w);
	return o.act == OUTCOME_PASS
	    ? v
	    : (struct verdict){ .act = VERDICT_CLOSE, .why = o.why };
}

struct outcome
mediate_held(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len)
{
	struct parts *w = m->track.parts[dir];

	stats_add(m->env->stats, STAT_held, 1);
	if (w != NULL && w->holding)
		return mediate_part_held(m, dir, frame, w);
	if (frame[NBSS_HDR_LEN] == (SMB1_PROTOCOL_ID & 0xff))
		return mediate_smb1(m, dir, frame, len);
	/* It was held before that was known. */
	if (m->track.smb1)
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_BAD_PROTOCOL };
	return mediate_smb2(m, dir, frame, len);
}

void
mediate_init(struct mediate *m, struct mediate_env *env, const char *listener,
    const struct channel_ends *self, void *arg)
{
	*m = (struct mediate){ .env = env, .self = *self, .owner = arg };
	m->self.listener = listener;
	MAGIC_SET(m, MEDIATE_MAGIC);
	track_init(&m->track);
	m->track.crypt = env->crypt;
	env->logon = (struct logon_env){ env->keyc, env->crypt, mediate_wake_answer };
	logons_init(&m->logons, &env->logon, m);
	m->ended = sesstab_ended(env->sessions);
}

size_t
mediate_size(const struct mediate *m)
{
	const size_t n = m->track.pending_cap * sizeof(*m->track.pending) +
	    logons_size(&m->logons);

	return m->smb1 == NULL ? n : n + smb1_size(m->smb1);
}

void
mediate_tick(struct mediate *m, uint64_t now_ms)
{
	session_sweep(m);
	if (m->logons.n > 0)
		logons_expire(&m->logons, now_ms);
	track_expire(&m->track, now_ms);
}

void
mediate_fini(struct mediate *m)
{
	struct channel *c;

	logons_fini(&m->logons);
	sharing_free(&m->sharing);
	smb1_free(&m->smb1);
	while ((c = track_channel_any(&m->track)) != NULL)
		session_leave(m, &c);
	track_fini(&m->track);
	MAGIC_CLEAR(m);
}
