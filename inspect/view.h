/* view.h: a held frame while it is mediated: what mediate.c, setup.c and query.c share */
#ifndef INSPECT_VIEW_H
#define INSPECT_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/env.h"
#include "inspect/frame.h"
#include "inspect/verdict.h"
#include "smb/chain2.h"

struct smbkeys;

struct message {
	struct part2 part;
	const uint8_t *bytes;	/* part.len of them */
};

/*
 * The messages of a frame, decrypted if it was sealed, and what is to become of the frame.
 *
 *	             as it came            as it goes on
 *	lift         signed, to the node   one sealed frame, nothing in it signed
 *	lower        sealed, to the client plain, every message signed: the answer to a lifted one
 *	seal         plain, to the client  sealed: the answer to a query that came sealed
 *	(sealed)     sealed                sealed anew if anything was changed
 */
struct view {
	enum dir dir;
	const uint8_t *msg;	/* behind the transport header */
	size_t len;
	bool alone;		/* one message */
	bool sealed;		/* came encrypted */
	bool plain;		/* sealed to the node: what goes instead is not */
	bool lift, lower, seal;
	bool wait;		/* the frame is to be shown again */
	uint64_t session_id;	/* sealed, lift, seal: of the TRANSFORM header */
	struct smbkeys *keys;	/* the same; borrowed from the channel */
	struct rewrite rw;
};

/* Notes a request whose answer must be seen; p needs only what is particular. 0, or -1. */
int view_ask(struct mediate *m, const struct view *v, const struct message *msg, struct pending p,
    enum close_reason *why) __attribute__((warn_unused_result));

/* The request is refused with this status: an ECHO goes on in its place. */
int view_refuse(struct mediate *m, struct view *v, const struct message *msg, uint32_t status,
    bool sign, enum close_reason *why) __attribute__((warn_unused_result));

/* The message is exchanged for an ECHO with its MessageId and credits. */
void view_echo(struct view *v, const struct message *msg);

/*
 * Between the two a message is written that takes the place of msg. k: it is signed with that
 * key; NULL: not, or, in a frame that is lowered, by whoever lowers it.
 */
struct wr *view_begin(struct view *v, const struct message *msg);
int view_end(struct mediate *m, struct view *v, const struct message *msg, const struct signkey *k)
    __attribute__((warn_unused_result));

/* The message carries a signature: is it that of the channel? An unproven key is given up here. */
bool view_signature_good(struct mediate *m, const struct message *msg);

#endif
