/* frame.h: a held frame: its messages, and the frame that goes on in its place */
#ifndef INSPECT_FRAME_H
#define INSPECT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wr.h"
#include "inspect/env.h"
#include "inspect/track.h"
#include "inspect/verdict.h"
#include "smb/chain2.h"

struct parts;
struct smbkeys;

enum message_signature {
	SIGNATURE_UNCHECKED,
	SIGNATURE_NONE,		/* it is not signed */
	SIGNATURE_UNKNOWN,	/* it is, and there is no key to tell by */
	SIGNATURE_GOOD,
	SIGNATURE_BAD,
};

/* Of MaxOutputResponse: no more can be held. */
#define OUTPUT_MAX 65536

struct message {
	struct part2 part;
	const uint8_t *bytes;	/* part.len of them */
	enum message_signature signature;
	enum query_way way;	/* of an interface query of the client's */
	bool vouched;		/* its session is asked for in its place */
	uint32_t max_output;	/* MaxOutputResponse of the same */
	uint32_t output;	/* what the node is asked for: that, or less */
};

/*
 * The messages of a frame, opened if it came sealed, and what is to become of it.
 *
 *	             as it came            as it goes on
 *	lift         signed, to the node   one sealed frame, nothing in it signed
 *	lower        sealed, to the client plain, every message signed: the answer to a lifted one
 *	seal         either                sealed, with a fresh nonce, if anything was changed
 *
 * Messages are exchanged in the order of the frame; all others are copied byte for byte, so their
 * signatures stay good: a NextCommand speaks of its own message only. Nothing is written before
 * the first exchange.
 */
struct frame {
	enum dir dir;
	const uint8_t *bytes;	/* behind the transport header, and behind a TRANSFORM header */
	size_t len;
	bool sealed;		/* came encrypted */
	bool lift, lower, seal;
	uint64_t session_id;	/* sealed, seal: of the TRANSFORM header */
	struct smbkeys *keys;	/* the same; borrowed from the channel */
	struct wr w;		/* the new frame */
	size_t done;		/* of bytes */
	size_t start;		/* of the message being written */
	bool changed;
	bool fixed;		/* one message out of a frame that goes on: it keeps its length */
	size_t front;		/* fixed: bytes of that frame's transport header before it */
	unsigned n;
	unsigned peeked;	/* n is 0: messages whose heads alone were read */
	struct message *msg;	/* of the worker, until the next frame */
};

/*
 * Takes a whole frame of SMB2, transport header included, apart. PASS: it has been, and f is set;
 * with f->n == 0 there is nothing in it that must be seen. CLOSE: the connection ends.
 */
struct outcome frame_read(struct frame *f, struct mediate *m, enum dir dir, const uint8_t *bytes,
    size_t len);

/* The same of the part that w holds; bytes are those that its verdict asked for. */
struct outcome frame_read_part(struct frame *f, struct mediate *m, enum dir dir,
    const uint8_t *bytes, const struct parts *w);

/* Is this message all that there is in its frame? */
bool frame_alone(const struct frame *f);

/*
 * Is there a message of another session, opaque, in a plain frame? smbd answers the whole of it
 * under the seal of the first session in it that has one.
 */
bool frame_foreign(const struct frame *f, const struct track *t, uint64_t session_id);

/* Can all answers to the requests of a frame be held together, most likely? */
bool frame_answers_fit(const struct frame *f);

/* The signature, checked once. A bad one costs the session its keys, unless they are proven. */
enum message_signature frame_signature(struct mediate *m, struct message *msg);

/*
 * The real answer follows, with the same MessageId, [MS-SMB2] 3.3.4.2. By the status alone: some
 * clients wait for it even without SMB2_FLAGS_ASYNC_COMMAND.
 */
bool message_interim(const struct message *msg);

/* When it is changed it goes on sealed with the keys of that session; without keys nothing does. */
void frame_seal(struct frame *f, const struct track *t, uint64_t session_id);

/* Is the message behind msg related to it? It takes its session and tree from it. */
bool frame_related_follows(const struct frame *f, const struct message *msg);

/* Is there room for len bytes in the place of msg, and for the rest of the frame behind them? */
bool frame_fits(const struct frame *f, const struct message *msg, size_t len);

/*
 * Between the two the caller writes what takes the place of msg, header first, to the returned
 * writer. The end fixes NextCommand and padding.
 */
struct wr *frame_begin(struct frame *f, const struct message *msg);
void frame_end(struct frame *f, const struct message *msg);
/* Signs what was written between them. 0, or -1. */
int frame_sign(struct frame *f, struct crypt *c, const struct signkey *k)
    __attribute__((warn_unused_result));

/* PASS: nothing was changed. REPLACE, or CLOSE where it does not fit. */
struct outcome frame_finish(struct frame *f, struct mediate *m);

#endif
