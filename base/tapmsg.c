/* tapmsg.c: what smbgate sends to those who watch connections: records of bytes and of decisions */
#include "config.h"

#include "base/tapmsg.h"

#include "base/rd.h"
#include "base/wr.h"

#include <assert.h>

void
tapmsg_put(uint8_t dst[TAPMSG_HDR_LEN], const struct tapmsg *m)
{
	struct wr w = wr_init(dst, TAPMSG_HDR_LEN);

	wr_u32(&w, m->len);
	wr_u8(&w, m->kind);
	wr_u8(&w, m->leg);
	wr_u8(&w, m->way);
	wr_u8(&w, m->fresh);
	wr_u64(&w, m->conn);
	wr_u64(&w, m->time_us);
	wr_u64(&w, m->offset);
	wr_u32(&w, m->whole);
	wr_zero(&w, TAPMSG_HDR_LEN - wr_len(&w));
	assert(wr_ok(&w));
}

int
tapmsg_get(struct tapmsg *m, const uint8_t src[TAPMSG_HDR_LEN])
{
	struct rd r = rd_init(src, TAPMSG_HDR_LEN);

	m->len = rd_u32(&r);
	m->kind = rd_u8(&r);
	m->leg = rd_u8(&r);
	m->way = rd_u8(&r);
	m->fresh = rd_u8(&r) != 0;
	m->conn = rd_u64(&r);
	m->time_us = rd_u64(&r);
	m->offset = rd_u64(&r);
	m->whole = rd_u32(&r);
	if (!rd_ok(&r) || m->kind < TAPMSG_OPEN || m->kind > TAPMSG_END ||
	    m->len > TAPMSG_DATA_MAX || m->leg > TAPMSG_NODE || m->way > TAPMSG_SENT)
		return -1;
	if (m->kind == TAPMSG_OPEN && m->len != TAPMSG_ENDS_LEN)
		return -1;
	return m->kind == TAPMSG_DATA && m->whole < m->len ? -1 : 0;
}

static void
end_put(struct wr *w, const struct addrport *a)
{
	wr_bytes(w, a->addr.b, sizeof(a->addr.b));
	wr_u16(w, a->port);
}

static void
end_get(struct rd *r, struct addrport *a)
{
	rd_copy(r, a->addr.b, sizeof(a->addr.b));
	a->port = rd_u16(r);
}

void
tapmsg_ends_put(uint8_t dst[TAPMSG_ENDS_LEN], const struct tapmsg_ends *e)
{
	struct wr w = wr_init(dst, TAPMSG_ENDS_LEN);

	end_put(&w, &e->peer);
	end_put(&w, &e->own);
	assert(wr_ok(&w));
}

void
tapmsg_ends_get(struct tapmsg_ends *e, const uint8_t src[TAPMSG_ENDS_LEN])
{
	struct rd r = rd_init(src, TAPMSG_ENDS_LEN);

	end_get(&r, &e->peer);
	end_get(&r, &e->own);
}
