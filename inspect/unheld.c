/* unheld.c: a message that must be seen, in an encrypted frame that is too long to be held */
#include "config.h"

#include "inspect/unheld.h"

#include "inspect/admission.h"
#include "inspect/announce.h"
#include "inspect/barred.h"
#include "inspect/carry.h"
#include "inspect/frame.h"
#include "inspect/parts.h"
#include "inspect/query.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ioctl2.h"

static struct outcome
unheld_close(enum close_reason why)
{
	return (struct outcome){ .act = OUTCOME_CLOSE, .why = why };
}

/* An interface query: its list is exchanged in the answer, if that can be held. */
static struct outcome
unheld_query(struct mediate *m, const struct parts *w)
{
	struct message msg = { .part = w->part, .bytes = w->head, .way = WAY_RESEAL };
	struct frame f = { .dir = C2S, .sealed = true, .n = 1, .msg = &msg };
	struct decision d;

	/* Well formed or not is for the node to say. */
	msg.max_output = msg.output = ioctl2_peek_max(w->head, w->head_len);
	if (announce_mode(m->env->policy, m->self.listener, m->intercept) == POL_IF_PASS)
		msg.way = WAY_PASS;
	d = query_request(&f, &msg);
	return carry_request(m, &f, &msg, &d);
}

static struct outcome
unheld_request(struct mediate *m, const struct parts *w)
{
	switch (w->part.hdr.command) {
	case SMB2_IOCTL:
		return unheld_query(m, w);
	case SMB2_LOGOFF:
		/* What is known of the session ends with the connection. */
		return (struct outcome){ .act = OUTCOME_PASS };
	default:
		/* No client seals a logon, [MS-SMB2] 3.2.4.1.8. */
		return unheld_close(CLOSE_UNSEEN_COMPOUND);
	}
}

static struct outcome
unheld_answer(struct mediate *m, const struct parts *w)
{
	const struct message msg = { .part = w->part };
	const struct pending *asked = track_asked(&m->track, w->part.hdr.message_id);
	/* What has a list in it, under whatever status, would have to be changed. */
	const bool empty = w->part.hdr.status != STATUS_SUCCESS && err2_is(w->head, w->head_len);

	if (asked == NULL)
		return unheld_close(CLOSE_UNEXPECTED_ANSWER);
	if (message_interim(&msg))
		return (struct outcome){ .act = OUTCOME_PASS };
	/* Nor would it be seen whom the node has let in. */
	if (asked->stand_in || asked->way == WAY_LIFT ||
	    (asked->kind == PENDING_SESSION_SETUP && admission_picks(&mediate_rules(m)->auth) &&
	        !empty) ||
	    (asked->kind == PENDING_IFINFO && asked->way != WAY_PASS && !empty))
		return unheld_close(CLOSE_UNSEEN_COMPOUND);
	if (asked->kind == PENDING_SESSION_SETUP)
		logons_drop(&m->logons, asked->message_id);
	track_answered(&m->track, asked->message_id);
	return (struct outcome){ .act = OUTCOME_PASS };
}

struct outcome
unheld(struct mediate *m, enum dir dir, const struct parts *w)
{
	if (barred_has(m->track.barred, w->part.session_id))
		return unheld_close(CLOSE_SESSION_REFUSED);
	return dir == C2S ? unheld_request(m, w) : unheld_answer(m, w);
}
