/* parts.h: a frame that cannot be held whole: it passes part by part, each judged on its head */
#ifndef INSPECT_PARTS_H
#define INSPECT_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/verdict.h"
#include "smb/chain2.h"

struct track;

/* The head of a sealed message: enough to note an interface query by, [MS-SMB2] 2.2.31. */
#define PARTS_HEAD_MAX 120

/*
 * Where such a frame has got to. It is a compound longer than HOLD_MAX, or a frame in which
 * something stands behind what is encrypted: no client sends that, but smbd reads it, message after
 * message, and so it is read here.
 *
 *	plain    a message that must be seen is held alone, and what takes its place is as long
 *	sealed   it is peeked at: what a request says can be noted, what an answer says cannot be
 *	         changed
 *
 * smbd answers the whole of a frame under the seal of the first session in it that has one. So
 * nothing that must be seen may stand beside what is sealed otherwise, or may be answered so.
 */
struct parts {
	/* What a related message belongs to, as in struct chain2. */
	bool begun;
	uint64_t last_session;
	uint32_t last_tree;

	bool mixed;		/* there is something encrypted, and something besides */
	/* Whose answers must be seen, and whose may be sealed with keys that nobody here has. */
	struct parts_of { bool any, many; uint64_t session_id; } seen, opaque;

	uint32_t sealed;	/* bytes left of what is encrypted; 0: what follows is not */
	uint32_t size;		/* of all that is encrypted */
	uint8_t nonce[16];
	uint64_t session_id;	/* of the TRANSFORM header */

	/* The part that is being held, or was peeked at and must be seen; or that passes. */
	bool holding, peeked, passing;
	bool covered;		/* what passes is sealed, and nobody can look into it */
	size_t front;		/* bytes of the transport header before it */
	struct part2 part;
	size_t head_len;	/* peeked */
	uint8_t head[PARTS_HEAD_MAX];
};

/*
 * The verdict on the head of such a frame, p being its transport header, and on the head of a later
 * part, left bytes before the end of the frame. t->parts[dir] keeps the place, and has what was
 * peeked at; parts_end() forgets it.
 */
struct verdict parts_head(struct track *t, enum dir dir, const uint8_t *p, size_t avail);
struct verdict parts_next(struct track *t, enum dir dir, const uint8_t *p, size_t avail,
    size_t left);

/* The part that was held is done with. */
void parts_taken(struct parts *w);

void parts_end(struct track *t, enum dir dir);

#endif
