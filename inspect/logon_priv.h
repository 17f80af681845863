/* logon_priv.h: the inside of a logon under way, for logon.c and logon_list.c alone */
#ifndef INSPECT_LOGON_PRIV_H
#define INSPECT_LOGON_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "auth/preauth.h"
#include "base/buf.h"
#include "base/magic.h"
#include "inspect/caller.h"
#include "inspect/identity.h"
#include "inspect/mech.h"

struct keyx;
struct logons;

#define LOGON_MAGIC 0x6c6f676fu

struct logon {
	MAGIC_MEMBER
	LIST_ENTRY(logon) entry;
	struct logons *all;
	uint64_t message_id;		/* of the last request */
	uint64_t session_id;		/* 0: not known yet */
	bool binding;
	bool again;			/* reauthentication */
	bool begun;			/* the node has a part of it */
	bool lost;			/* a part of it was not seen, or did not reach the node */
	bool anonymous;
	bool unicode;			/* NTLM: of ntlm_names() */
	enum mech mech;
	bool asked;			/* the last request has no answer yet */
	bool answered;			/* the last answer's token has been taken */
	uint32_t bytes;			/* its part of logons.bytes */
	uint64_t heard_ms;
	uint64_t waits_since_us;	/* the last answer has come, and not yet its key; 0 = no */
	const char *because;		/* there can be no key; NULL: there may */
	struct identity seen;
	struct caller by;
	struct preauth hash;
	struct buf unhashed;		/* messages for the hash, each behind its length */
	struct keyx *keyx;
	struct buf pieces;		/* of a token */
	bool whole;			/* they are all there */
};

/*
 * Sessions of whose bind or reauthentication the node has a part that is not known any more: what
 * comes next of theirs may be the end of that. Nobody else pays for it.
 */
struct logons_forgotten {
	unsigned n;
	uint64_t session_id[];
};

bool logons_forgotten(const struct logons *l, uint64_t session_id);

/* Takes it out of the list, and all with it. */
void logon_drop(struct logon *x);

/* The same of one that the node may go on with. */
void logon_forget(struct logon *x);

/* NULL: there is none. Only one whose last request has no answer has a MessageId. */
struct logon *logon_by_session(const struct logons *l, uint64_t session_id, bool binding);
struct logon *logon_by_message(const struct logons *l, uint64_t message_id);

/*
 * The one that nothing was heard of for longest, for the caller to forget; NULL: none. Not one
 * whose answer waits for its key: that would wait for ever. in_pieces: of those whose token is.
 */
struct logon *logon_oldest(const struct logons *l, bool in_pieces);

/* It is heard of now. */
void logon_heard(struct logon *x);
/* What it keeps has changed. */
void logon_account(struct logon *x);

#endif
