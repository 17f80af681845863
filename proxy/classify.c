/* classify.c: pure: protocol facts and the head of a frame to a verdict */
#include "config.h"

#include "proxy/classify.h"

#include "proxy/track.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "base/rd.h"

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

static enum seen
must_see(const struct track *t, enum dir dir, const struct hdr2 *h, const uint8_t *p, size_t avail,
    size_t len, size_t *n)
{
	switch (h->command) {
	case SMB2_NEGOTIATE:
	case SMB2_SESSION_SETUP:
	case SMB2_LOGOFF:
		return SEEN_YES;
	case SMB2_IOCTL:
		if (dir == S2C && track_asked(t, h->message_id) != NULL)
			return SEEN_YES;
		/* An error has no CtlCode; what stands at its place is the error body. */
		if (dir == S2C && h->status != STATUS_SUCCESS)
			return SEEN_NO;
		if (len < IOCTL2_PEEK_LEN)
			return SEEN_NO;
		if (avail < IOCTL2_PEEK_LEN) {
			*n = IOCTL2_PEEK_LEN;
			return SEEN_MORE;
		}
		return ioctl2_peek(p, avail) == FSCTL_QUERY_NETWORK_INTERFACE_INFO ? SEEN_YES
		                                                                    : SEEN_NO;
	default:
		/* An ECHO that stands for a refused request, or an answer with a wrong command. */
		if (dir == S2C && t->npending > 0 && track_asked(t, h->message_id) != NULL)
			return SEEN_YES;
		return SEEN_NO;
	}
}

/* An answer from a client: whoever takes it for a request has been fooled. */
static bool
backwards(enum dir dir, const struct hdr2 *h)
{
	return dir == C2S && (h->flags & SMB2_FLAGS_SERVER_TO_REDIR) != 0;
}

/* The parts of a compound that is passed piece by piece; off: bytes in front of p's message. */
static struct verdict
piece(const struct track *t, enum dir dir, const uint8_t *p, size_t avail, size_t left, size_t off)
{
	struct hdr2 h;
	size_t n = 0, len;

	if (left < SMB2_HDR_LEN)
		return end(CLOSE_BAD_CHAIN);
	if (avail < SMB2_HDR_LEN)
		return more(off + SMB2_HDR_LEN);
	if (hdr2_get(&h, p, avail) == -1 || backwards(dir, &h))
		return end(CLOSE_BAD_MESSAGE);
	if (h.next != 0 && (h.next < SMB2_HDR_LEN || h.next % 8 != 0 || h.next > left - SMB2_HDR_LEN))
		return end(CLOSE_BAD_CHAIN);
	len = h.next != 0 ? h.next : left;
	switch (must_see(t, dir, &h, p, avail, len, &n)) {
	case SEEN_MORE:
		return more(off + n);
	case SEEN_YES:
		return end(CLOSE_UNSEEN_COMPOUND);
	case SEEN_NO:
		break;
	}
	return pass(off + len, off + left);
}

struct verdict
classify_part(const struct track *t, enum dir dir, const uint8_t *p, size_t avail, size_t left)
{
	return piece(t, dir, p, avail, left, 0);
}

static struct verdict
smb2(const struct track *t, enum dir dir, const uint8_t *p, size_t avail, size_t len)
{
	size_t frame = NBSS_HDR_LEN + len, n = 0;
	struct hdr2 h;

	if (len < SMB2_HDR_LEN)
		return end(CLOSE_SHORT_FRAME);
	if (avail < NBSS_HDR_LEN + SMB2_HDR_LEN)
		return more(NBSS_HDR_LEN + SMB2_HDR_LEN);
	p += NBSS_HDR_LEN;
	avail -= NBSS_HDR_LEN;
	if (hdr2_get(&h, p, avail) == -1 || backwards(dir, &h))
		return end(CLOSE_BAD_MESSAGE);
	if (h.next != 0) {
		/*
		 * Any part may be one that must be seen, so a compound is held, if it can be. Of the
		 * node's only while something is asked: an answer that nobody asked for is found by
		 * the walk from part to part as well.
		 */
		if (frame <= HOLD_MAX && (dir == C2S || t->npending > 0))
			return hold(frame);
		return piece(t, dir, p, avail, len, NBSS_HDR_LEN);
	}
	switch (must_see(t, dir, &h, p, avail, len, &n)) {
	case SEEN_MORE:
		return more(NBSS_HDR_LEN + n);
	case SEEN_YES:
		return frame <= HOLD_MAX ? hold(frame) : end(CLOSE_LONG_FRAME);
	case SEEN_NO:
		break;
	}
	return pass(frame, frame);
}

static struct verdict
smb1(enum dir dir, const uint8_t *p, size_t avail, size_t len)
{
	size_t frame = NBSS_HDR_LEN + len;

	if (len < SMB1_HDR_LEN)
		return end(CLOSE_SHORT_FRAME);
	if (avail < NBSS_HDR_LEN + 5)
		return more(NBSS_HDR_LEN + 5);
	/* The node's answers to logons tell whether the client is in. */
	if (dir == S2C && p[NBSS_HDR_LEN + 4] == SMB1_COM_SESSION_SETUP_ANDX)
		return frame <= HOLD_MAX ? hold(frame) : end(CLOSE_LONG_FRAME);
	return pass(frame, frame);
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
classify(const struct track *t, enum dir dir, const uint8_t *p, size_t avail)
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
	/* A node's NEGOTIATE answer carries a security blob; what the client may send is in track. */
	if (n.len > t->max_frame && (dir == C2S || t->negotiated || NBSS_HDR_LEN + n.len > HOLD_MAX))
		return end(CLOSE_LONG_FRAME);
	if (avail < NBSS_HDR_LEN + 4)
		return more(NBSS_HDR_LEN + 4);
	switch (word(p + NBSS_HDR_LEN)) {
	case SMB2_PROTOCOL_ID:
		/* SMB1 alone was agreed on, or not even that yet. */
		if (t->smb1)
			return end(CLOSE_BAD_PROTOCOL);
		return smb2(t, dir, p, avail, n.len);
	case SMB2_TRANSFORM_ID:
		/* [MS-SMB2] 3.3.5.2.1.1: encryption came with 3.0. */
		if (t->dialect < SMB2_DIALECT_300 || t->cipher == 0)
			return end(CLOSE_BAD_PROTOCOL);
		if (n.len < SMB2_TRANSFORM_LEN + SMB2_HDR_LEN)
			return end(CLOSE_SHORT_FRAME);
		if (t->refuse_sealed)
			return end(CLOSE_UNKEYED);
		return pass(NBSS_HDR_LEN + n.len, NBSS_HDR_LEN + n.len);
	case SMB2_COMPRESSION_ID:
		/* Legal only where the node itself has chosen it: no hiding place otherwise. */
		if (!t->compression)
			return end(CLOSE_BAD_PROTOCOL);
		return pass(NBSS_HDR_LEN + n.len, NBSS_HDR_LEN + n.len);
	case SMB1_PROTOCOL_ID:
		if (dir == S2C && t->smb1_offered && !t->smb1 && !t->negotiated)
			return hold(NBSS_HDR_LEN + n.len);
		if (!t->smb1)
			return end(CLOSE_BAD_PROTOCOL);
		return smb1(dir, p, avail, n.len);
	default:
		return end(CLOSE_BAD_PROTOCOL);
	}
}
