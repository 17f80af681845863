/* parts.c: a frame that cannot be held whole: it passes part by part, each judged on its head */
#include "config.h"

#include "inspect/parts.h"

#include "auth/seal.h"
#include "base/rd.h"
#include "inspect/barred.h"
#include "inspect/classify.h"
#include "inspect/session.h"
#include "inspect/track.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/xform.h"

#include <stdlib.h>
#include <string.h>

/* Where the part at p stands: off bytes of transport header before it, left to the frame's end. */
struct place {
	enum dir dir;
	const uint8_t *p;
	size_t avail, left, off;
};

static struct verdict
parts_close(enum close_reason why)
{
	return (struct verdict){ .act = VERDICT_CLOSE, .why = why };
}

static struct verdict
parts_more(const struct place *at, size_t n)
{
	return (struct verdict){ .act = VERDICT_MORE, .n = (uint32_t)(at->off + n) };
}

static struct verdict
parts_go(const struct place *at, enum verdict_act act, size_t n)
{
	return (struct verdict){ .act = act, .n = (uint32_t)(at->off + n),
		.frame = (uint32_t)(at->off + at->left) };
}

/* Takes the message that begins at head, n bytes of it, from the `left` of its chain. */
static int
parts_message(const struct parts *w, struct part2 *part, const uint8_t *head, size_t n, size_t left)
{
	struct hdr2 *h = &part->hdr;
	bool related;

	if (hdr2_get(h, head, n) == -1 || chain2_len(h, left, &part->len) == -1)
		return -1;
	related = w->begun && (h->flags & SMB2_FLAGS_RELATED_OPERATIONS) != 0;
	part->off = 0;
	part->last = part->len == left;
	part->session_id = related ? w->last_session : h->session_id;
	part->tree_id = related ? w->last_tree : h->tree_id;
	return 0;
}

static void
parts_step(struct parts *w, const struct part2 *part)
{
	w->begun = true;
	w->last_session = part->session_id;
	w->last_tree = part->tree_id;
}

static void
parts_note(struct parts_of *o, uint64_t session_id)
{
	o->many |= o->any && o->session_id != session_id;
	o->any = true;
	o->session_id = session_id;
}

/* Nothing that must be seen may come with what is answered under another session's seal. */
static bool
parts_clash(const struct parts *w)
{
	const bool foreign = w->opaque.any && (w->opaque.many || w->seen.many ||
	    w->opaque.session_id != w->seen.session_id);

	return w->seen.any && (w->mixed || foreign);
}

static struct verdict
plain_part(const struct track *t, struct parts *w, const struct place *at)
{
	const size_t want = at->left < IOCTL2_PEEK_LEN ? at->left : IOCTL2_PEEK_LEN;
	struct part2 part;
	bool seen;

	if (at->avail < want)
		return parts_more(at, want);
	if (parts_message(w, &part, at->p, want, at->left) == -1)
		return parts_close(CLOSE_BAD_CHAIN);
	if (classify_backwards(at->dir, &part.hdr))
		return parts_close(CLOSE_BAD_MESSAGE);
	seen = classify_seen(t, at->dir, &part.hdr, at->p, want, part.len);
	if (at->dir == C2S && track_opaque(t, part.session_id))
		parts_note(&w->opaque, part.session_id);
	else if (seen)
		parts_note(&w->seen, part.session_id);
	if (parts_clash(w) || (seen && at->off + part.len > HOLD_MAX))
		return parts_close(CLOSE_UNSEEN_COMPOUND);
	w->part = part;
	if (!seen) {
		w->passing = true;
		parts_step(w, &part);
		return parts_go(at, VERDICT_PASS, part.len);
	}
	w->holding = true;
	w->front = at->off;
	return parts_go(at, VERDICT_HOLD, part.len);
}

/* A message inside what is encrypted, by what a peek shows of it. */
static struct verdict
sealed_part(const struct track *t, struct parts *w, const struct place *at)
{
	const struct smbkeys *k = track_keys(t, w->session_id);
	const size_t done = w->size - w->sealed;
	size_t want = w->sealed < PARTS_HEAD_MAX ? w->sealed : PARTS_HEAD_MAX;

	/* The session has ended, or become opaque, while the frame was passing. */
	if (k == NULL) {
		want = w->sealed;
		w->sealed = 0;
		w->covered = true;
		return parts_go(at, VERDICT_PASS, want);
	}
	if (at->avail < want)
		return parts_more(at, want);
	if (seal_peek(t->crypt, k, at->dir == C2S ? SEAL_C2S : SEAL_S2C, w->nonce, at->p, done,
	        want, w->head) == -1 ||
	    parts_message(w, &w->part, w->head, want, w->sealed) == -1)
		return parts_close(CLOSE_BAD_CHAIN);
	if (classify_backwards(at->dir, &w->part.hdr))
		return parts_close(CLOSE_BAD_MESSAGE);
	w->peeked = classify_seen(t, at->dir, &w->part.hdr, w->head, want, w->part.len);
	w->head_len = want < w->part.len ? want : w->part.len;
	if (w->peeked)
		parts_note(&w->seen, w->part.session_id);
	if (parts_clash(w))
		return parts_close(CLOSE_UNSEEN_COMPOUND);
	w->passing = true;
	w->sealed -= (uint32_t)w->part.len;
	parts_step(w, &w->part);
	return parts_go(at, VERDICT_PASS, w->part.len);
}

/* A TRANSFORM header, and what it speaks of: the rest of the frame, or less than that. */
static struct verdict
transform(const struct track *t, struct parts *w, const struct place *at)
{
	struct xform x;

	if (t->dialect < SMB2_DIALECT_300 || t->cipher == 0)
		return parts_close(CLOSE_BAD_PROTOCOL);
	if (at->left < SMB2_TRANSFORM_LEN + SMB2_HDR_LEN)
		return parts_close(CLOSE_SHORT_FRAME);
	if (at->avail < SMB2_TRANSFORM_LEN)
		return parts_more(at, SMB2_TRANSFORM_LEN);
	if (xform_get(&x, at->p, at->avail) == -1 || x.original_size < SMB2_HDR_LEN ||
	    x.original_size > at->left - SMB2_TRANSFORM_LEN)
		return parts_close(CLOSE_BAD_MESSAGE);
	if (barred_has(t->barred, x.session_id))
		return parts_close(CLOSE_SESSION_REFUSED);
	w->mixed |= w->begun || x.original_size != at->left - SMB2_TRANSFORM_LEN;
	w->begun = true;
	if (parts_clash(w))
		return parts_close(CLOSE_UNSEEN_COMPOUND);
	w->covered = track_keys(t, x.session_id) == NULL;
	if (w->covered)
		return t->refuse_sealed
		    ? parts_close(CLOSE_UNKEYED)
		    : parts_go(at, VERDICT_PASS, SMB2_TRANSFORM_LEN + x.original_size);
	memcpy(w->nonce, x.nonce, sizeof(w->nonce));
	w->session_id = x.session_id;
	w->size = w->sealed = x.original_size;
	return parts_go(at, VERDICT_PASS, SMB2_TRANSFORM_LEN);
}

static struct verdict
parts_at(const struct track *t, struct parts *w, const struct place *at)
{
	struct rd r = rd_init(at->p, at->avail);
	uint32_t protocol;

	w->holding = w->peeked = w->passing = w->covered = false;
	if (w->sealed > 0)
		return sealed_part(t, w, at);
	if (at->left < SMB2_HDR_LEN)
		return parts_close(CLOSE_BAD_CHAIN);
	if (at->avail < 4)
		return parts_more(at, 4);
	protocol = rd_u32(&r);
	return protocol == SMB2_TRANSFORM_ID ? transform(t, w, at) : plain_part(t, w, at);
}

struct verdict
parts_head(struct track *t, enum dir dir, const uint8_t *p, size_t avail)
{
	struct nbss n;
	struct place at = { .dir = dir, .off = NBSS_HDR_LEN };

	if (nbss_get(&n, p, avail) == -1)
		return (struct verdict){ .act = VERDICT_MORE, .n = NBSS_HDR_LEN };
	at.p = p + NBSS_HDR_LEN;
	at.avail = avail - NBSS_HDR_LEN;
	at.left = n.len;
	if (t->parts[dir] == NULL)
		t->parts[dir] = malloc(sizeof(*t->parts[dir]));
	if (t->parts[dir] == NULL)
		return parts_close(CLOSE_NO_MEMORY);
	memset(t->parts[dir], 0, sizeof(*t->parts[dir]));
	return parts_at(t, t->parts[dir], &at);
}

struct verdict
parts_next(struct track *t, enum dir dir, const uint8_t *p, size_t avail, size_t left)
{
	const struct place at = { .dir = dir, .p = p, .avail = avail, .left = left };

	return parts_at(t, t->parts[dir], &at);
}

void
parts_taken(struct parts *w)
{
	w->holding = false;
	parts_step(w, &w->part);
}

void
parts_end(struct track *t, enum dir dir)
{
	free(t->parts[dir]);
	t->parts[dir] = NULL;
}
