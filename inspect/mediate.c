/* mediate.c: a held frame is taken apart, judged, and what is decided is carried out */
#include "config.h"

#include "inspect/mediate.h"

#include "inspect/carry.h"
#include "inspect/frame.h"
#include "inspect/query.h"
#include "inspect/setup.h"
#include "inspect/sharing.h"
#include "inspect/smb1.h"
#include "smb/const.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "stats/stats.h"

/*
 * A held frame is taken apart (frame.c), each of its messages is judged in its turn (setup.c,
 * query.c, admission.c; smb1.c), and what is decided is carried out (carry.c):
 *
 *	        requests                              answers
 *	NEGOTIATE      note                           facts of the connection
 *	SESSION_SETUP  note, or refuse                channel of a session, its keys
 *	IOCTL          an interface query: query.h    list decided and built anew
 *	LOGOFF         note                           session gone
 *	                                 ECHO's ────► the refusal, or our list
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
		return decide_note(PENDING_LOGOFF);
	case SMB2_IOCTL:
		return query_request(m, f, msg);
	default:
		return decide(DECIDE_PASS);
	}
}

static struct outcome
mediate_request(struct mediate *m, struct frame *f, const struct message *msg)
{
	const struct decision d = judge_request(m, f, msg);

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

/* Most answers of a compound are none of our business; these must not come unasked. */
static bool
needs_request(const struct message *msg)
{
	switch (msg->part.hdr.command) {
	case SMB2_NEGOTIATE:
	case SMB2_SESSION_SETUP:
	case SMB2_LOGOFF:
		return true;
	case SMB2_IOCTL:
		return msg->part.hdr.status == STATUS_SUCCESS &&
		    ioctl2_peek(msg->bytes, msg->part.len) == FSCTL_QUERY_NETWORK_INTERFACE_INFO;
	default:
		return false;
	}
}

/* Is it the answer to what the node was asked, and sealed as that was? */
static bool
answers(const struct frame *f, const struct message *msg, const struct pending *asked)
{
	return msg->part.hdr.command == (asked->stand_in ? SMB2_ECHO : asked->command) &&
	    (asked->way == WAY_LIFT) == f->lower;
}

static struct outcome
mediate_answer(struct mediate *m, struct frame *f, const struct message *msg)
{
	const struct pending *found = track_asked(&m->track, msg->part.hdr.message_id);
	struct decision d = decide(DECIDE_PASS);
	struct ifinfo list[IFINFO_MAX];
	struct pending asked;

	if (found == NULL && !f->lower && !needs_request(msg))
		return (struct outcome){ .act = OUTCOME_PASS };
	if (found == NULL || !answers(f, msg, found))
		return (struct outcome){ .act = OUTCOME_CLOSE, .why = CLOSE_UNEXPECTED_ANSWER };
	asked = *found;
	if (!message_interim(msg)) {
		d = judge_answer(m, f, msg, &asked, list);
		if (d.act != DECIDE_WAIT)
			track_answered(&m->track, asked.message_id);
	}
	return carry_answer(m, f, msg, &asked, &d);
}

static struct outcome
mediate_smb2(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len)
{
	struct outcome o;
	struct frame f;

	o = frame_read(&f, m, dir, frame, len);
	if (o.act != OUTCOME_PASS || f.n == 0)
		return o;
	if (dir == C2S)
		query_ways(m, &f);
	for (unsigned i = 0; i < f.n; i++) {
		o = dir == C2S ? mediate_request(m, &f, &f.msg[i])
		               : mediate_answer(m, &f, &f.msg[i]);
		if (o.act != OUTCOME_PASS)
			return o;
	}
	return frame_finish(&f, m);
}

static struct outcome
mediate_smb1(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len)
{
	const struct decision d = smb1_judge(m, dir, frame + NBSS_HDR_LEN, len - NBSS_HDR_LEN);

	return carry_smb1(m, frame, len, &d);
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
		return mediate_smb1(m, dir, frame, len);
	return mediate_smb2(m, dir, frame, len);
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
