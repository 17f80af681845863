/* negotiate.c: pure: a NEGOTIATE that offers one thing, and what a server answers */
#include "config.h"

#include "ctl/negotiate.h"

#include "base/rd.h"
#include "base/wr.h"

#include <string.h>

#define TRANSPORT 4
#define HEADER 64
/* [MS-SMB2] 2.2.3.1 */
#define PREAUTH 1
#define ENCRYPTION 2
#define SIGNING 8
#define CONTEXTS_MAX 32

static void
put_context(struct wr *w, uint16_t type, uint16_t len)
{
	wr_pad(w, TRANSPORT, 8);
	wr_u16(w, type);
	wr_u16(w, len);
	wr_u32(w, 0);
}

/* Of 3.1.1 alone; the first one stands behind the dialect, at a multiple of 8. */
static void
put_contexts(struct wr *w, const struct negotiate_offer *o, const uint8_t salt[32])
{
	put_context(w, PREAUTH, 38);
	wr_u16(w, 1);
	wr_u16(w, 32);
	wr_u16(w, 1);
	wr_bytes(w, salt, 32);
	put_context(w, ENCRYPTION, 4);
	wr_u16(w, 1);
	wr_u16(w, o->cipher);
	put_context(w, SIGNING, 4);
	wr_u16(w, 1);
	wr_u16(w, o->signing);
}

size_t
negotiate_put(uint8_t dst[NEGOTIATE_MAX], const struct negotiate_offer *o,
    const uint8_t random[48])
{
	const bool modern = o->dialect == 0x0311;
	struct wr w = wr_init(dst, NEGOTIATE_MAX);

	wr_u32(&w, 0);
	/* The header, [MS-SMB2] 2.2.1.2: command 0, one credit. */
	wr_bytes(&w, "\xfeSMB", 4);
	wr_u16(&w, HEADER);
	wr_zero(&w, 8);
	wr_u16(&w, 1);
	wr_zero(&w, HEADER - 16);
	/* [MS-SMB2] 2.2.3 */
	wr_u16(&w, 36);
	wr_u16(&w, 1);
	wr_u16(&w, 1);
	wr_u16(&w, 0);
	/* Everything that a present client has. */
	wr_u32(&w, o->dialect == 0x0202 ? 0 : 0x7f);
	if (o->dialect == 0x0202)
		wr_zero(&w, 16);
	else
		wr_bytes(&w, random, 16);
	wr_u32(&w, modern ? HEADER + 40 : 0);
	wr_u16(&w, modern ? 3 : 0);
	wr_u16(&w, 0);
	wr_u16(&w, o->dialect);
	if (modern)
		put_contexts(&w, o, random + 16);
	dst[2] = (uint8_t)((wr_len(&w) - TRANSPORT) >> 8);
	dst[3] = (uint8_t)(wr_len(&w) - TRANSPORT);
	return wr_len(&w);
}

static int
get_contexts(struct negotiate_answer *a, const uint8_t *msg, size_t n, size_t off, unsigned count)
{
	struct rd r = rd_init(msg, n);

	if (count > CONTEXTS_MAX)
		return -1;
	rd_seek(&r, off);
	for (unsigned i = 0; i < count; i++) {
		uint16_t type, len, chosen;
		size_t start;

		if (i > 0)
			rd_skip(&r, (8 - (r.pos - off) % 8) % 8);
		type = rd_u16(&r);
		len = rd_u16(&r);
		rd_skip(&r, 4);
		start = r.pos;
		if ((type == ENCRYPTION || type == SIGNING) && len >= 4) {
			rd_skip(&r, 2);
			chosen = rd_u16(&r);
			if (type == ENCRYPTION)
				a->cipher = chosen;
			else
				a->signing = chosen;
		}
		rd_seek(&r, start);
		rd_skip(&r, len);
	}
	return rd_ok(&r) ? 0 : -1;
}

int
negotiate_get(struct negotiate_answer *a, const uint8_t *msg, size_t n)
{
	struct rd r = rd_init(msg, n);
	unsigned count;
	uint32_t off;

	*a = (struct negotiate_answer){ .signing = 0xffff };
	if (n < HEADER || memcmp(msg, "\xfeSMB", 4) != 0)
		return -1;
	rd_skip(&r, 8);
	a->status = rd_u32(&r);
	if (rd_u16(&r) != 0)
		return -1;
	if (a->status != 0)
		return 0;
	rd_seek(&r, HEADER);
	/* [MS-SMB2] 2.2.4 */
	if (rd_u16(&r) != 65)
		return -1;
	a->security_mode = rd_u16(&r);
	a->dialect = rd_u16(&r);
	count = rd_u16(&r);
	rd_skip(&r, 16);
	a->capabilities = rd_u32(&r);
	rd_skip(&r, 12);
	a->system_time = rd_u64(&r);
	rd_skip(&r, 12);
	off = rd_u32(&r);
	if (!rd_ok(&r))
		return -1;
	return a->dialect == 0x0311 ? get_contexts(a, msg, n, off, count) : 0;
}
