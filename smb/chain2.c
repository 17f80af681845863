/* chain2.c: walk the messages of a compounded SMB2 frame */
#include "config.h"

#include "smb/chain2.h"

#include "smb/const.h"

void
chain2_init(struct chain2 *c, const uint8_t *frame, size_t len)
{
	*c = (struct chain2){ .frame = frame, .len = len };
}

int
chain2_len(const struct hdr2 *h, size_t left, size_t *len)
{
	*len = h->next != 0 ? h->next : left;
	return *len >= SMB2_HDR_LEN && *len <= left ? 0 : -1;
}

static inline int
take(struct chain2 *c, struct part2 *p)
{
	const size_t left = c->len - c->off;
	const struct hdr2 *h = &p->hdr;
	bool related;

	if (chain2_len(h, left, &p->len) == -1)
		return -1;

	/* The first message has none before it: servers take its own values or refuse it. */
	related = c->parts > 0 && (h->flags & SMB2_FLAGS_RELATED_OPERATIONS) != 0;
	if (!related) {
		c->last_session = h->session_id;
		/* 0 in the async form, which has an AsyncId in its place. */
		c->last_tree = h->tree_id;
	}
	p->session_id = c->last_session;
	p->tree_id = c->last_tree;
	p->off = c->off;
	p->last = p->len == left;

	c->parts++;
	c->off += p->len;
	c->end = p->last;
	return 1;
}

int
chain2_next(struct chain2 *c, struct part2 *p)
{
	const size_t left = c->len - c->off;

	if (c->end)
		return 0;
	if (c->parts == CHAIN2_MAX_PARTS || left < SMB2_HDR_LEN ||
	    hdr2_get(&p->hdr, c->frame + c->off, left) < 0)
		return -1;
	return take(c, p);
}

int
chain2_take(struct chain2 *c, struct part2 *p)
{
	return take(c, p);
}
