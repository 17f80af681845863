/* track.h: the protocol facts of one connection, taken from complete messages in one place */
#ifndef INSPECT_TRACK_H
#define INSPECT_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"
#include "inspect/verdict.h"

struct channel;
struct crypt;
struct neg2_req;
struct neg2_resp;
struct signkey;
struct smbkeys;

/* Requests whose answers must be seen. RELIABILITY: real clients have one or two at a time. */
#define TRACK_PENDING_MAX 512
/* Sessions (users) on one connection. */
#define TRACK_SESSIONS_MAX 64

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
	WAY_SUBSTITUTE,		/* an ECHO goes in its place; our list, signed or sealed once */
	WAY_LIFT,		/* goes on sealed, unsigned; our list, signed once */
	WAY_RESIGN,		/* goes on; our list, signed anew */
	WAY_RESEAL,		/* goes on sealed; our list, sealed anew with a fresh nonce */
	WAY_GMAC,		/* GMAC leaves no way: goes on, and a signed answer passes */
	WAY_REFUSE,		/* GMAC leaves no way, and policy refuses */
	WAY_UNKEYED,		/* signed, and no key: policy ends the connection */
	WAY_MALFORMED,		/* cannot be read: the connection ends */
};

/* A request on its way, by MessageId. */
struct pending {
	uint64_t message_id;
	uint64_t session_id;	/* as the server takes it */
	uint32_t tree_id;
	uint32_t process_id;
	uint32_t max_output;	/* IFINFO */
	uint32_t status;	/* REFUSED: what the client is told */
	uint16_t command;	/* what the client sent */
	uint8_t kind;		/* enum pending_kind */
	uint8_t way;		/* IFINFO, NEIGHBOUR: enum query_way */
	uint8_t mode;		/* IFINFO: enum pol_ifmode */
	bool binding;		/* SESSION_SETUP */
	bool signing_required;	/* SESSION_SETUP: the client's SecurityMode */
	bool stand_in;		/* an ECHO went to the node in its place */
	bool sealed;		/* came encrypted: an answer of ours must go encrypted */
	bool sign;		/* REFUSED: the client's request was signed, and rightly */
};

/* An encrypted compound that passes piece by piece: what is needed to look into its next part. */
struct sealed_piece {
	uint8_t nonce[16];
	uint32_t size;		/* of what is encrypted */
	uint64_t session_id;
};

struct track {
	bool smb1;		/* SMB1 was agreed on: nothing below has a meaning */
	bool smb1_offered;	/* the node may still choose SMB1 */
	bool negotiating;	/* a NEGOTIATE has gone to the node */
	bool negotiated;	/* the node has chosen a dialect */
	bool logged_on;		/* a SESSION_SETUP has succeeded */
	bool vc_reset;		/* SMB1: one with VcNumber 0; for the connection's owner to clear */
	bool sealed_seen;	/* an encrypted frame has passed */
	bool refuse_sealed;	/* policy: what cannot be seen is refused */
	bool compression;
	uint16_t dialect;
	uint16_t cipher, signing;
	uint16_t client_mode, server_mode;
	uint32_t client_caps, server_caps;
	uint32_t max_frame;	/* longest message that either side may send now */
	struct guid client_guid;

	struct pending *pending;
	unsigned npending, pending_cap;
	struct channel *channels;	/* by channel_next() */
	unsigned nchannels;

	struct crypt *crypt;		/* the worker's; NULL: nothing can be looked into */
	struct sealed_piece *piece[2];	/* by direction; NULL: no such compound is passing */
};

void track_init(struct track *t);
/* Frees the lists; the channels must have left. */
void track_fini(struct track *t);

/* Notes a request whose answer must be seen: 0, or -1 with the reason. */
int track_ask(struct track *t, const struct pending *p, enum close_reason *why)
    __attribute__((warn_unused_result));
/* The request of that MessageId, or NULL. Valid until the next track_ask/track_answered. */
const struct pending *track_asked(const struct track *t, uint64_t message_id);
/* The final answer has come. */
void track_answered(struct track *t, uint64_t message_id);

/* Facts of a complete NEGOTIATE. */
void track_negotiate_req(struct track *t, const struct neg2_req *r);
void track_negotiate_resp(struct track *t, const struct neg2_resp *r);

/* The channel of a session on this connection, or NULL. */
struct channel *track_channel(const struct track *t, uint64_t session_id);
/* The session's keys, and what its channel here signs with; NULL: opaque, or not known here. */
struct smbkeys *track_keys(const struct track *t, uint64_t session_id);
const struct signkey *track_signing(const struct track *t, uint64_t session_id);
/*
 * The frame at p, whole or not, passes piece by piece, or (p NULL) none does. 0, or -1 when memory
 * is out.
 */
int track_piece(struct track *t, enum dir dir, const uint8_t *p, size_t avail)
    __attribute__((warn_unused_result));
/* Takes the channel over: 0, or -1 with the reason (then the caller still owns it). */
int track_channel_add(struct track *t, struct channel *c, enum close_reason *why)
    __attribute__((warn_unused_result));
/* Hands a channel back to the caller, or NULL. */
struct channel *track_channel_take(struct track *t, uint64_t session_id);
struct channel *track_channel_any(struct track *t);

#endif
