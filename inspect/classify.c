/* classify.c: pure: protocol facts and the head of a frame to a verdict */
#include "config.h"

#include "inspect/classify.h"

#include "auth/seal.h"
#include "base/rd.h"
#include "inspect/barred.h"
#include "inspect/session.h"
#include "inspect/track.h"
#include "smb/chain1.h"
#include "smb/compress.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "smb/raw1.h"
#include "smb/xform.h"

#include <stdbool.h>

static struct verdict
more(size_t n)
{
	return (struct verdict){ .act = VERDICT_MORE, .n = (uint32_t)n };
}

static struct verdict
pass(size_t n, size_t frame)
{
	return (struct verdict){ .act = VERDICT_PASS, .n = (uint32_t)n, .frame = (uint32_t)frame };
}

static struct verdict
hold(size_t n)
{
	return (struct verdict){ .act = VERDICT_HOLD, .n = (uint32_t)n, .frame = (uint32_t)n };
}

/* It is not judged as a whole: inspect/parts.h. */
static struct verdict
by_parts(void)
{
	return (struct verdict){ .act = VERDICT_PARTS };
}

static struct verdict
end(enum close_reason why)
{
	return (struct verdict){ .act = VERDICT_CLOSE, .why = why };
}

static uint32_t
word(const uint8_t *p)
{
	struct rd r = rd_init(p, 4);

	return rd_u32(&r);
}

/*
 * Must this message be seen whole? p has avail bytes of it, len is its length without what
 * follows in a compound. *n: where the answer needs more bytes than there are, how many.
 */
enum seen { SEEN_NO, SEEN_YES, SEEN_MORE };

static inline enum seen
must_see_kind(const struct track *t, enum dir dir, const struct hdr2 *h, const uint8_t *p,
    size_t avail, size_t len, size_t *n)
{
	switch (h->command) {
	case SMB2_NEGOTIATE:
	case SMB2_SESSION_SETUP:
	case SMB2_LOGOFF:
		return SEEN_YES;
	case SMB2_IOCTL:
		if (dir == S2C && track_asked(t, h->message_id) != NULL)
			return SEEN_YES;
		if (len < IOCTL2_PEEK_LEN)
			return SEEN_NO;
		if (avail < IOCTL2_PEEK_LEN) {
			*n = IOCTL2_PEEK_LEN;
			return SEEN_MORE;
		}
		return ioctl2_peek(p, avail) == FSCTL_QUERY_NETWORK_INTERFACE_INFO ? SEEN_YES
		                                                                    : SEEN_NO;
	case SMB2_TREE_CONNECT:
		/* Nothing can be had of a session without one. */
		if (dir == C2S && track_opening(t, h->session_id))
			return SEEN_YES;
		__attribute__((fallthrough));
	default:
		/* What stood in for another request, or an answer with a wrong command. */
		if (dir == S2C && t->npending > 0 && track_asked(t, h->message_id) != NULL)
			return SEEN_YES;
		return SEEN_NO;
	}
}

/* The connection ends for what is of a session that was refused. */
static __attribute__((noinline)) enum seen
must_see_barred(const struct track *t, enum dir dir, const struct hdr2 *h, const uint8_t *p,
    size_t avail, size_t len, size_t *n)
{
	return barred_has(t->barred, h->session_id) ? SEEN_YES
	                                            : must_see_kind(t, dir, h, p, avail, len, n);
}

/* Few connections have one: nearly all are spared the room for it. */
static enum seen
must_see(const struct track *t, enum dir dir, const struct hdr2 *h, const uint8_t *p, size_t avail,
    size_t len, size_t *n)
{
	return t->barred == NULL ? must_see_kind(t, dir, h, p, avail, len, n)
	                         : must_see_barred(t, dir, h, p, avail, len, n);
}

/* One that must be seen is held. A list that goes on whatever it is may be longer than that. */
static struct verdict
seen(const struct track *t, enum dir dir, const struct hdr2 *h, size_t frame)
{
	const struct pending *p;

	if (frame <= HOLD_MAX)
		return hold(frame);
	p = dir == S2C ? track_asked(t, h->message_id) : NULL;
	return p != NULL && p->way == WAY_PASS ? pass(frame, frame) : end(CLOSE_LONG_FRAME);
}

bool
classify_backwards(enum dir dir, const struct hdr2 *h)
{
	return dir == C2S && (h->flags & SMB2_FLAGS_SERVER_TO_REDIR) != 0;
}

static struct verdict
classify_smb2(const struct track *t, enum dir dir, const uint8_t *p, size_t avail, size_t len)
{
	size_t frame = NBSS_HDR_LEN + len, n = 0;
	struct hdr2 h;

	if (len < SMB2_HDR_LEN)
		return end(CLOSE_SHORT_FRAME);
	if (avail < NBSS_HDR_LEN + SMB2_HDR_LEN)
		return more(NBSS_HDR_LEN + SMB2_HDR_LEN);
	p += NBSS_HDR_LEN;
	avail -= NBSS_HDR_LEN;
	if (hdr2_get(&h, p, avail) == -1 || classify_backwards(dir, &h))
		return end(CLOSE_BAD_MESSAGE);
	if (h.next != 0) {
		/*
		 * Any part may be one that must be seen, so a compound is held if it can be; of the
		 * node's only while something is asked: an answer that nobody asked for is found by
		 * the walk from part to part as well.
		 */
		if (frame <= HOLD_MAX && (dir == C2S || t->npending > 0))
			return hold(frame);
		return by_parts();
	}
	switch (must_see(t, dir, &h, p, avail, len, &n)) {
	case SEEN_MORE:
		return more(NBSS_HDR_LEN + n);
	case SEEN_YES:
		return seen(t, dir, &h, frame);
	case SEEN_NO:
		break;
	}
	return pass(frame, frame);
}

/* Answers concern us while one of them may have to be seen; or, by their heads alone, counted. */
static bool
concerns(const struct track *t, enum dir dir)
{
	return dir == C2S || t->npending > 0 || t->barred != NULL;
}

static bool
is_counted(const struct track *t)
{
	return t->asked > 0;
}

/*
 * A compressed message, of which p has n bytes, COMPRESS_PEEK_LEN or all: what is in it is judged
 * like what is not compressed. What cannot be read, or held, is left to the policy.
 */
static struct verdict
compressed(const struct track *t, enum dir dir, const uint8_t *p, size_t n, size_t frame,
    struct hdr2 *peeked)
{
	const size_t len = compress_len(t->chained, p, n);
	uint8_t head[IOCTL2_PEEK_LEN];
	struct hdr2 h;
	size_t got, more_n;

	if (!concerns(t, dir) && !is_counted(t))
		return pass(frame, frame);
	got = compress_open(t->chained, p, n, head, sizeof(head));
	if (hdr2_get(&h, head, got) == 0) {
		if (classify_backwards(dir, &h))
			return end(CLOSE_BAD_MESSAGE);
		/* Any message of a compound may be one that must be seen. */
		if (h.next == 0 && must_see(t, dir, &h, head, got, len, &more_n) == SEEN_NO) {
			*peeked = h;
			return pass(frame, frame);
		}
	}
	if (!concerns(t, dir))
		return pass(frame, frame);
	if (frame <= HOLD_MAX && len > 0 && len <= HOLD_MAX - NBSS_HDR_LEN)
		return hold(frame);
	return t->refuse_compressed || t->barred != NULL ? end(CLOSE_COMPRESSION)
	                                                 : pass(frame, frame);
}

/* A compressed frame, len bytes behind the transport header p. */
static struct verdict
classify_compressed(const struct track *t, enum dir dir, const uint8_t *p, size_t avail, size_t len,
    struct hdr2 *peeked)
{
	const size_t want = len < COMPRESS_PEEK_LEN ? len : COMPRESS_PEEK_LEN;

	peeked->command = HDR2_NO_COMMAND;
	/* Legal only where the node itself has chosen it. */
	if (!t->compression)
		return end(CLOSE_BAD_PROTOCOL);
	if (avail < NBSS_HDR_LEN + want)
		return more(NBSS_HDR_LEN + want);
	return compressed(t, dir, p + NBSS_HDR_LEN, want, NBSS_HDR_LEN + len, peeked);
}

/* The same of what is sealed, too: p is the transport header. */
static struct verdict
classify_sealed_compressed(const struct track *t, enum dir dir, const struct smbkeys *k,
    const struct xform *x, const uint8_t *p, size_t avail, size_t frame, struct hdr2 *peeked)
{
	const size_t front = NBSS_HDR_LEN + SMB2_TRANSFORM_LEN;
	uint8_t head[COMPRESS_PEEK_LEN];
	const size_t want = x->original_size < sizeof(head) ? x->original_size : sizeof(head);

	if (avail < front + want)
		return more(front + want);
	if (seal_peek(t->crypt, k, dir == C2S ? SEAL_C2S : SEAL_S2C, x->nonce, p + front, 0, want,
	        head) == -1)
		return end(CLOSE_BAD_MESSAGE);
	return compressed(t, dir, head, want, frame, peeked);
}

/* What is sealed with the keys k, at p behind its TRANSFORM header x. */
static struct verdict
classify_keyed(const struct track *t, enum dir dir, const struct smbkeys *k, const struct xform *x,
    const uint8_t *p, size_t avail, struct hdr2 *peeked)
{
	const size_t front = NBSS_HDR_LEN + SMB2_TRANSFORM_LEN, frame = front + x->original_size;
	uint8_t head[IOCTL2_PEEK_LEN];
	const size_t want = x->original_size < sizeof(head) ? x->original_size : sizeof(head);
	struct hdr2 h;
	size_t n = 0;

	if (!concerns(t, dir) && !is_counted(t))
		return pass(frame, frame);
	if (avail < front + want)
		return more(front + want);
	if (seal_peek(t->crypt, k, dir == C2S ? SEAL_C2S : SEAL_S2C, x->nonce, p + front, 0, want,
	        head) == -1)
		return end(CLOSE_BAD_MESSAGE);
	/* Compressed before it was encrypted, [MS-SMB2] 3.1.4.4. */
	if (t->compression && word(head) == SMB2_COMPRESSION_ID)
		return classify_sealed_compressed(t, dir, k, x, p, avail, frame, peeked);
	/* Not what these keys should show: whoever holds it can try others. */
	if (hdr2_get(&h, head, want) == -1)
		return !concerns(t, dir) ? pass(frame, frame) :
		    frame <= HOLD_MAX    ? hold(frame) :
		                           end(CLOSE_BAD_MESSAGE);
	if (classify_backwards(dir, &h))
		return end(CLOSE_BAD_MESSAGE);
	if (h.next != 0)
		return frame > HOLD_MAX || !concerns(t, dir) ? by_parts() : hold(frame);
	if (must_see(t, dir, &h, head, want, x->original_size, &n) == SEEN_YES)
		return seen(t, dir, &h, frame);
	*peeked = h;
	return pass(frame, frame);
}

/* A TRANSFORM frame, len bytes behind the transport header; p has the first four at least. */
static struct verdict
classify_sealed(const struct track *t, enum dir dir, const uint8_t *p, size_t avail, size_t len,
    struct hdr2 *peeked)
{
	const size_t front = NBSS_HDR_LEN + SMB2_TRANSFORM_LEN, frame = NBSS_HDR_LEN + len;
	const struct smbkeys *k;
	struct xform x;

	peeked->command = HDR2_NO_COMMAND;
	/* [MS-SMB2] 3.3.5.2.1.1: encryption came with 3.0. */
	if (t->dialect < SMB2_DIALECT_300 || t->cipher == 0)
		return end(CLOSE_BAD_PROTOCOL);
	/* Compressed, a message may be shorter than its header. */
	if (len < SMB2_TRANSFORM_LEN + (t->compression ? COMPRESS_MIN_LEN : SMB2_HDR_LEN))
		return end(CLOSE_SHORT_FRAME);
	if (avail < front)
		return more(front);
	if (xform_get(&x, p + NBSS_HDR_LEN, avail - NBSS_HDR_LEN) == -1)
		return end(CLOSE_BAD_MESSAGE);
	if (x.original_size > len - SMB2_TRANSFORM_LEN)
		return end(CLOSE_BAD_MESSAGE);
	if (barred_has(t->barred, x.session_id))
		return end(CLOSE_SESSION_REFUSED);
	if (x.original_size < len - SMB2_TRANSFORM_LEN)
		return by_parts();
	k = track_keys(t, x.session_id);
	if (k == NULL)
		return t->refuse_sealed ? end(CLOSE_UNKEYED) : pass(frame, frame);
	return classify_keyed(t, dir, k, &x, p, avail, peeked);
}

/*
 * An SMB1 message of len bytes. Held is what may hold a logon: of requests also every chain, and
 * what asks for raw mode or encryption; of the node's answers a chain that ends a session first.
 */
static struct verdict
classify_smb1(enum dir dir, const uint8_t *p, size_t avail, size_t len)
{
	const size_t frame = NBSS_HDR_LEN + len;
	size_t want = len < CHAIN1_PEEK_LEN ? len : CHAIN1_PEEK_LEN;
	uint8_t command;

	if (len < SMB1_HDR_LEN)
		return end(CLOSE_SHORT_FRAME);
	if (avail < NBSS_HDR_LEN + want)
		return more(NBSS_HDR_LEN + want);
	command = p[NBSS_HDR_LEN + 4];
	if (dir == C2S && command == SMB1_COM_TRANSACTION2)
		want = len < RAW1_PEEK_LEN ? len : RAW1_PEEK_LEN;
	if (avail < NBSS_HDR_LEN + want)
		return more(NBSS_HDR_LEN + want);
	p += NBSS_HDR_LEN;
	if (command != SMB1_COM_SESSION_SETUP_ANDX && command != SMB1_COM_LOGOFF_ANDX &&
	    (dir == S2C || (!raw1_may_ask(p, want) && !chain1_more(p, want))))
		return pass(frame, frame);
	if (frame <= HOLD_MAX)
		return hold(frame);
	return end(dir == C2S ? CLOSE_UNSEEN_COMPOUND : CLOSE_LONG_FRAME);
}

bool
classify_seen(const struct track *t, enum dir dir, const struct hdr2 *h, const uint8_t *p,
    size_t avail, size_t len)
{
	size_t n;

	return must_see(t, dir, h, p, avail, len, &n) != SEEN_NO;
}

struct verdict
classify_first(const struct track *t, const uint8_t *p, size_t avail)
{
	struct nbss n;

	if (nbss_get(&n, p, avail) == -1)
		return more(NBSS_HDR_LEN);
	if (n.type != NBSS_MESSAGE)
		return end(CLOSE_BAD_FRAME);
	if (n.len < SMB1_HDR_LEN)
		return end(CLOSE_SHORT_FRAME);
	if (n.len > t->max_frame)
		return end(CLOSE_LONG_FRAME);
	return hold(NBSS_HDR_LEN + n.len);
}

struct verdict
classify(const struct track *t, enum dir dir, const uint8_t *p, size_t avail, struct hdr2 *peeked)
{
	struct nbss n;

	if (nbss_get(&n, p, avail) == -1)
		return more(NBSS_HDR_LEN);
	/* Keepalives, RFC 1002 4.3.7, and empty messages mean nothing and end nothing. */
	if (n.len == 0 && (n.type == NBSS_KEEPALIVE || n.type == NBSS_MESSAGE))
		return pass(NBSS_HDR_LEN, NBSS_HDR_LEN);
	if (n.type != NBSS_MESSAGE)
		return end(CLOSE_BAD_FRAME);
	if (n.len < 4)
		return end(CLOSE_SHORT_FRAME);
	/* A node's NEGOTIATE answer has a security blob; what the client may send is in track. */
	if (n.len > t->max_frame &&
	    (dir == C2S || t->negotiated || NBSS_HDR_LEN + n.len > HOLD_MAX))
		return end(CLOSE_LONG_FRAME);
	if (avail < NBSS_HDR_LEN + 4)
		return more(NBSS_HDR_LEN + 4);
	switch (word(p + NBSS_HDR_LEN)) {
	case SMB2_PROTOCOL_ID:
		/* SMB1 alone was agreed on, or not even that yet. */
		if (t->smb1)
			return end(CLOSE_BAD_PROTOCOL);
		return classify_smb2(t, dir, p, avail, n.len);
	case SMB2_TRANSFORM_ID:
		return classify_sealed(t, dir, p, avail, n.len, peeked);
	case SMB2_COMPRESSION_ID:
		return classify_compressed(t, dir, p, avail, n.len, peeked);
	case SMB1_PROTOCOL_ID:
		if (dir == S2C && t->smb1_offered && !t->smb1 && !t->negotiated)
			return hold(NBSS_HDR_LEN + n.len);
		if (!t->smb1)
			return end(CLOSE_BAD_PROTOCOL);
		return classify_smb1(dir, p, avail, n.len);
	default:
		return end(CLOSE_BAD_PROTOCOL);
	}
}
