/* heads.h: what the heads of messages say of open files, and of requests without an answer */
#ifndef INSPECT_HEADS_H
#define INSPECT_HEADS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "inspect/env.h"
#include "inspect/frame.h"
#include "inspect/verdict.h"
#include "smb/const.h"

struct hdr2;
struct parts;

/*
 *	CREATE answered with success		+1, of the session and its tree: opens.h
 *	CLOSE answered with success		-1
 *	TREE_DISCONNECT answered with success	none of that tree; the same where the node says
 *						that the tree is gone
 *	the session is over: session_over.h	none
 *
 * Files are a session's, whichever of its channels opened or closed them. The answers to what is
 * asked of files are seen also where they come sealed, if there is a key: classify(). What cannot
 * be seen of a connection is said of it for good: track.unseen, m->uncounted.
 */
void heads_request(struct mediate *m, uint16_t command);
/* session_id, tree_id: as the server takes them. */
void heads_answer(struct mediate *m, const struct hdr2 *h, uint64_t session_id, uint32_t tree_id);

/* Of the part of a frame that passes, and of all the messages of a held one when they go on. */
void heads_part(struct mediate *m, enum dir dir, const struct parts *w);
void heads_frame(struct mediate *m, const struct frame *f);
/* What logs on and off is not counted: its answers are waited for by track.h. */
#define HEADS_LOGON(command) ((command) <= SMB2_LOGOFF)

static inline bool
heads_logon(const struct frame *f)
{
	return f->n == 1 && HEADS_LOGON(f->msg[0].part.hdr.command);
}

/* One that went on as it was, f->n being 0. */
void heads_unopened(struct mediate *m, const struct frame *f);

/* A sealed or compressed frame passes; peeked: as of classify(). */
void heads_covered(struct mediate *m, enum dir dir, const struct hdr2 *peeked);

/* Can the files be seen that are opened here? */
bool heads_seen(const struct mediate *m);
/* Open files of the sessions that began on this connection; -1: that cannot be seen. */
int64_t heads_files(const struct mediate *m);
/* Requests that the node has not answered; -1: as before. */
int64_t heads_outstanding(const struct mediate *m);
/* Were this connection to end now, might the client have lost a file that the node keeps for it? */
bool heads_may_reclaim(const struct mediate *m);

/* A plain message passes, 64 bytes of it at least at p. */
void heads_plain(struct mediate *m, enum dir dir, const uint8_t *p);

/* Offsets of Status and Command, [MS-SMB2] 2.2.1. */
#define HEADS_STATUS 8
#define HEADS_COMMAND 12
/* What opens and closes, what has no answer, and what is none. */
#define HEADS_RARE \
	(1u << SMB2_NEGOTIATE | 1u << SMB2_SESSION_SETUP | 1u << SMB2_LOGOFF | \
	    1u << SMB2_TREE_DISCONNECT | 1u << SMB2_CREATE | 1u << SMB2_CLOSE | \
	    1u << SMB2_CANCEL | 1u << SMB2_OPLOCK_BREAK | 1u << SMB2_NOTIFICATION)

/* One that only asks, or that is answered: nearly all are. False: there is more to it. */
static inline bool
heads_common(struct mediate *m, enum dir dir, uint8_t command, uint32_t status)
{
	if ((HEADS_RARE >> (command & 31) & 1) != 0)
		return false;
	if (dir == C2S)
		m->outstanding++;
	else if (status != STATUS_PENDING)
		m->outstanding -= m->outstanding > 0;
	else
		return false;
	return true;
}

/* The same of a plain message that passes, where its success says nothing else. */
static inline bool
heads_plain_common(struct mediate *m, enum dir dir, const uint8_t *p)
{
	static const uint8_t success[4] = { 0 };

	return p[0] == (SMB2_PROTOCOL_ID & 0xff) &&
	    (dir == C2S || memcmp(p + HEADS_STATUS, success, sizeof(success)) == 0) &&
	    heads_common(m, dir, p[HEADS_COMMAND], STATUS_SUCCESS);
}

#endif
