/* decision.h: what a judge says is to become of a held message */
#ifndef INSPECT_DECISION_H
#define INSPECT_DECISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/session.h"
#include "inspect/track.h"
#include "smb/ifinfo.h"
#include "stats/stats.h"

/*
 *	             a request                              an answer
 *	PASS         goes on as it is                       goes on as it is
 *	NOTE         goes on; its answer is for us to see   -
 *	STAND_IN     another request goes on in its place;  -
 *	             what the client is told is made of
 *	             the answer to that
 *	REFUSE       the same: the client is told a status  -
 *	CHANGE       SMB1: VcNumber 0 becomes another       our list, or our status, in its place
 *	WAIT         shown again: mediate_wake_request()    shown again: mediate_wake_answer()
 *	CLOSE        the connection ends                    the connection ends
 *
 * Nothing is dropped or inserted: what stands in has the MessageId and the credits of what it
 * stands in for, so that the node's MessageId window goes on. It is one that the node always
 * answers, and that does nothing: a SESSION_SETUP of a session that does not exist in the place of
 * a SESSION_SETUP, an ECHO in that of anything else.
 */
enum decision_act {
	DECIDE_PASS,
	DECIDE_NOTE,
	DECIDE_STAND_IN,
	DECIDE_REFUSE,
	DECIDE_CHANGE,
	DECIDE_WAIT,
	DECIDE_CLOSE,
};

/* What the act does not need stays 0. */
struct decision {
	enum decision_act act;
	enum close_reason why;		/* CLOSE */
	struct pending pending;		/* NOTE, STAND_IN: what is particular of the request */
	uint32_t status;		/* REFUSE, CHANGE: what the client is told */
	bool sign;			/* REFUSE, CHANGE: it is signed, if there is a key */
	bool has_list;			/* CHANGE: a list, and not only a status */
	uint16_t vc_number;		/* CHANGE of SMB1 */

	/* Whatever the act: what is counted, logged, and shown of the session. */
	unsigned ncounts;
	enum counter counts[2];
	const char *text;		/* for people; NULL: no line in the log */
	enum query_result query;	/* what became of an interface query */
	size_t nlist;
	const struct ifinfo *list;	/* borrowed */
};

static inline struct decision
decide(enum decision_act act)
{
	return (struct decision){ .act = act };
}

static inline struct decision
decide_close(enum close_reason why)
{
	return (struct decision){ .act = DECIDE_CLOSE, .why = why };
}

static inline struct decision
decide_note(enum pending_kind kind)
{
	return (struct decision){ .act = DECIDE_NOTE, .pending = { .kind = kind } };
}

static inline void
decision_count(struct decision *d, enum counter c)
{
	d->counts[d->ncounts++] = c;
}

#endif
