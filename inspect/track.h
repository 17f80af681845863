/* track.h: the protocol facts of one connection, taken from complete messages in one place */
#ifndef INSPECT_TRACK_H
#define INSPECT_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"
#include "inspect/chantab.h"
#include "inspect/verdict.h"

struct barred;
struct channel;
struct crypt;
struct neg2_req;
struct neg2_resp;
struct parts;
struct signkey;
struct smbkeys;

/*
 * Requests whose answers must be seen. Real clients have one or two at a time; none has more than
 * the 8192 credits that servers grant at most, and nobody needs so many before a logon.
 */
#define TRACK_PENDING_MANY 8192
#define TRACK_PENDING_STRANGER 512
/* A request that has not been answered for so long never will be. */
#define TRACK_PENDING_AGE_MS (10 * 60 * 1000)
/* Sessions (users) on one connection. */
#define TRACK_SESSIONS_MAX 8192

enum pending_kind {
	PENDING_NEGOTIATE,
	PENDING_SESSION_SETUP,
	PENDING_LOGOFF,
	PENDING_IFINFO,		/* an interface query */
	PENDING_REFUSED,	/* the client is told a status of ours */
	PENDING_NEIGHBOUR,	/* of an interface query in a frame that was lifted */
};

/* The way of an interface query, in the words of doc/KEYS.md; chosen by query_choose(). */
enum query_way {
	WAY_NONE,		/* not an interface query */
	WAY_PASS,		/* policy: the node's list is the client's */
	WAY_PLAIN,		/* unsigned, no key: goes on; our list, unless it comes signed */
	WAY_OPAQUE,		/* signed, no key: the same, and the answer will be signed */
	WAY_LIFT,		/* goes on sealed, unsigned; our list, signed once */
	WAY_RESIGN,		/* goes on; our list, signed anew */
	WAY_RESEAL,		/* goes on sealed; our list, sealed anew with a fresh nonce */
	WAY_VOUCH,		/* its session's FLUSH goes in its place; our list, signed once */
	WAY_SUBSTITUTE,		/* an ECHO goes in its place; our list, signed once */
	WAY_GMAC,		/* GMAC leaves no way: goes on, and a signed answer passes */
	WAY_DOUBT,		/* GMAC, its session may be over: goes on; no signed list is told */
	WAY_REFUSE,		/* GMAC leaves no way, and policy refuses */
	WAY_UNKEYED,		/* signed, and no key: policy ends the connection */
};

/* A request on its way, by MessageId. */
struct pending {
	uint64_t message_id;
	uint64_t session_id;	/* as the server takes it */
	uint64_t previous_session_id;	/* SESSION_SETUP */
	uint32_t since_s;	/* when it was asked; 0: now, as track_ask() notes */
	uint32_t tree_id;
	uint32_t process_id;
	uint32_t max_output;	/* IFINFO */
	uint32_t status;	/* REFUSED: what the client is told */
	uint16_t command;	/* what the client sent */
	uint8_t kind;		/* enum pending_kind */
	uint8_t way;		/* IFINFO, NEIGHBOUR: enum query_way */
	uint8_t mech;		/* SESSION_SETUP: enum mech, with this request's token */
	bool binding;		/* SESSION_SETUP */
	bool signing_required;	/* SESSION_SETUP: the client's SecurityMode */
	bool stand_in;		/* another request went to the node in its place: */
	uint8_t sent;		/* with this command */
	bool sealed;		/* came encrypted: an answer of ours must go encrypted */
	bool sign;		/* REFUSED, binding: the request was signed, and rightly */
	bool used;		/* for track.c alone */
};

struct track {
	bool smb1;		/* SMB1 was agreed on: nothing below has a meaning */
	bool smb1_offered;	/* an SMB1 NEGOTIATE has gone to the node, and is not answered */
	bool negotiating;	/* a NEGOTIATE has gone to the node, and is not answered */
	bool placed;		/* a NEGOTIATE has: whose connection it is stays so */
	bool has_guid;		/* it is that ClientGuid's */
	bool negotiated;	/* the node has chosen a dialect */
	bool logged_on;		/* a SESSION_SETUP has succeeded */
	bool user;		/* one that is neither a guest's nor anonymous */
	/* for the connection's owner to clear: */
	bool named;		/* one that may have told anew who the client is */
	bool vc_reset;		/* SMB1: one with VcNumber 0 */
	bool unseen;		/* what cannot be read has passed: open files are not known */
	bool refuse_sealed;	/* policy: what cannot be seen is refused */
	bool compression;	/* the node has chosen it, and: */
	bool chained;		/* that several algorithms may be mixed in one message */
	bool refuse_compressed;	/* policy: what cannot be read of it is refused */
	bool bare;		/* there has been a user's session without a key: inspect/shown.h */
	uint16_t dialect;
	uint16_t cipher, signing;
	uint16_t client_mode, server_mode;
	uint16_t asked;		/* of files, and not answered: heads.h */
	uint16_t npending, pending_cap;
	uint16_t client_caps, server_caps;	/* what is defined of them is that small */
	uint32_t max_frame;	/* longest message that either side may send now */

	struct pending *pending;	/* an open table of pending_cap by MessageId */
	struct chantab channels;
	struct barred *barred;		/* NULL: none is */

	struct crypt *crypt;		/* the worker's; NULL: nothing can be looked into */
	struct parts *parts[2];		/* by direction; NULL: no frame passes part by part */

	struct guid client_guid;	/* behind what each frame asks for: see conn_priv.h */
};

void track_init(struct track *t);
/* Frees the lists; the channels must have left. */
void track_fini(struct track *t);

/* Does its client wait to be told whether it has that session? No channel here is of it yet. */
bool track_opening(const struct track *t, uint64_t session_id);

/*
 * So many requests are unanswered that no more should go to the node: one that can be is answered
 * alone. Twice as many are the end.
 */
bool track_crowded(const struct track *t);
/* Notes a request whose answer must be seen: 0, or -1 with the reason. */
int track_ask(struct track *t, const struct pending *p, enum close_reason *why)
    __attribute__((warn_unused_result));
/* The request of that MessageId, or NULL. Valid until the next track_ask/track_answered. */
const struct pending *track_asked(const struct track *t, uint64_t message_id);
/* The final answer has come. */
void track_answered(struct track *t, uint64_t message_id);
/* Is a request of that session unanswered? */
bool track_owed(const struct track *t, uint64_t session_id);
/* Does one that is unanswered say that it replaces that session? */
bool track_replaces(const struct track *t, uint64_t session_id);
/* Forgets what will never be answered; to be called now and then. */
void track_expire(struct track *t, uint64_t now_ms);

/*
 * Facts of a complete NEGOTIATE. A request may be another client's than the one that the connection
 * was placed for: 0, or -1 with the reason.
 */
int track_negotiate_req(struct track *t, const struct neg2_req *r, enum close_reason *why)
    __attribute__((warn_unused_result));
/* The request has gone to the node in SMB1's form: such a client has no ClientGuid. */
void track_negotiate_smb1(struct track *t);
void track_negotiate_resp(struct track *t, const struct neg2_resp *r);

/* The channel of a session on this connection, or NULL. */
static inline struct channel *
track_channel(const struct track *t, uint64_t session_id)
{
	/* As long as nobody has logged on it is asked for most. */
	return t->channels.n == 0 ? NULL : chantab_find(&t->channels, session_id);
}

/* The session's keys, and what its channel here signs with; NULL: opaque, or not known here. */
struct smbkeys *track_keys(const struct track *t, uint64_t session_id);
const struct signkey *track_signing(const struct track *t, uint64_t session_id);
/* Is it a session here that may have its answers sealed, with a key that nobody here has? */
bool track_opaque(const struct track *t, uint64_t session_id);
/* Has it as many channels as there is room for? */
bool track_channels_full(const struct track *t);
/* Takes the channel over. */
void track_channel_add(struct track *t, struct channel *c);
/* Hands a channel back to the caller, or NULL. */
struct channel *track_channel_take(struct track *t, uint64_t session_id);
struct channel *track_channel_any(struct track *t);

#endif
