/* track.h: the protocol facts of one connection, taken from complete messages in one place */
#ifndef PROXY_TRACK_H
#define PROXY_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"
#include "proxy/close.h"

struct channel;
struct neg2_req;
struct neg2_resp;
struct part2;

/* Requests whose answers must be seen. RELIABILITY: real clients have one or two at a time. */
#define TRACK_PENDING_MAX 512
/* Sessions (users) on one connection. */
#define TRACK_SESSIONS_MAX 64

enum pending_kind {
	PENDING_NEGOTIATE,
	PENDING_SESSION_SETUP,
	PENDING_LOGOFF,
	PENDING_IFINFO,
	PENDING_REFUSED,	/* an ECHO went to the node in its place */
};

/* A request on its way, by MessageId. */
struct pending {
	uint64_t message_id;
	uint64_t session_id;	/* as the server takes it */
	uint32_t tree_id;
	uint32_t process_id;
	uint32_t max_output;	/* PENDING_IFINFO */
	uint16_t command;	/* PENDING_REFUSED: what the client sent */
	uint8_t kind;
	bool binding;		/* PENDING_SESSION_SETUP */
	bool signing_required;	/* PENDING_SESSION_SETUP: the client's SecurityMode */
};

struct track {
	bool smb1;		/* SMB1 was agreed on: nothing below has a meaning */
	bool smb1_offered;	/* the node may still choose SMB1 */
	bool negotiating;	/* a NEGOTIATE has gone to the node */
	bool negotiated;	/* the node has chosen a dialect */
	bool logged_on;		/* a SESSION_SETUP has succeeded */
	bool sealed_seen;	/* an encrypted frame has passed */
	bool refuse_sealed;	/* policy: what cannot be seen is refused */
	bool compression;
	uint16_t dialect;
	uint16_t cipher, signing;
	uint16_t client_mode, server_mode;
	uint32_t client_caps, server_caps;
	uint32_t max_frame;	/* longest message that either side may send now */
	struct guid client_guid, server_guid;

	struct pending *pending;
	unsigned npending, pending_cap;
	struct channel **channels;
	unsigned nchannels;
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
/* Takes the channel over: 0, or -1 with the reason (then the caller still owns it). */
int track_channel_add(struct track *t, struct channel *c, enum close_reason *why)
    __attribute__((warn_unused_result));
/* Hands a channel back to the caller, or NULL. */
struct channel *track_channel_take(struct track *t, uint64_t session_id);
struct channel *track_channel_any(struct track *t);

#endif
