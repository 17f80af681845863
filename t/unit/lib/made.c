/* made.c: frames as peers make them, message by message, and what went out looked at, for tests */
#include "config.h"

#include "t/unit/lib/made.h"

#include "base/addr.h"
#include "base/buf.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/ifinfo.h"
#include "smb/ioctl2.h"
#include "smb/nbss.h"
#include "t/unit/lib/lists.h"
#include "t/unit/lib/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void
made_init(struct made *m)
{
	m->w = wr_init(m->b, sizeof(m->b));
	m->open = false;
	wr_zero(&m->w, NBSS_HDR_LEN);
}

static void
made_close(struct made *m, bool last)
{
	if (!m->open)
		return;
	m->open = false;
	if (!last) {
		wr_pad(&m->w, m->start, 8);
		wr_u32_at(&m->w, m->start + 20, (uint32_t)(wr_len(&m->w) - m->start));
	}
}

struct wr *
made_next(struct made *m)
{
	made_close(m, false);
	m->start = wr_len(&m->w);
	m->open = true;
	return &m->w;
}

size_t
made_end(struct made *m)
{
	made_close(m, true);
	assert_true(wr_ok(&m->w));
	nbss_put(m->b, (uint32_t)(wr_len(&m->w) - NBSS_HDR_LEN));
	return wr_len(&m->w);
}

void
put_session_setup(struct made *m, uint64_t mid, uint64_t session, uint8_t flags)
{
	const struct hdr2 h = { .command = SMB2_SESSION_SETUP, .message_id = mid,
		.session_id = session, .credits = 3, .credit_charge = 1,
		.flags = flags != 0 ? SMB2_FLAGS_SIGNED : 0 };
	struct wr *w = made_next(m);

	hdr2_put(w, &h);
	wr_u16(w, 25);
	wr_u8(w, flags);
	wr_u8(w, 1);
	wr_u32(w, 0);
	wr_u32(w, 0);
	wr_u16(w, SMB2_HDR_LEN + 24);
	wr_u16(w, 5);
	wr_u64(w, 0);
	wr_bytes(w, "TOKEN", 5);
}

void
put_session_setup_resp(struct made *m, uint64_t mid, uint64_t session, uint32_t status,
    uint16_t flags)
{
	const struct hdr2 h = { .command = SMB2_SESSION_SETUP, .message_id = mid,
		.session_id = session, .credits = 3, .status = status,
		.flags = SMB2_FLAGS_SERVER_TO_REDIR };
	struct wr *w = made_next(m);

	hdr2_put(w, &h);
	wr_u16(w, 9);
	wr_u16(w, flags);
	wr_u16(w, SMB2_HDR_LEN + 8);
	wr_u16(w, 0);
}

void
put_query(struct made *m, uint64_t mid, uint32_t max_output)
{
	const struct hdr2 h = { .command = SMB2_IOCTL, .message_id = mid, .session_id = SESSION,
		.credits = 1, .credit_charge = 1 };
	struct wr *w = made_next(m);

	hdr2_put(w, &h);
	wr_u16(w, 57);
	wr_u16(w, 0);
	wr_u32(w, FSCTL_QUERY_NETWORK_INTERFACE_INFO);
	wr_u64(w, UINT64_MAX);
	wr_u64(w, UINT64_MAX);
	wr_u32(w, 120);
	wr_u32(w, 0);
	wr_u32(w, 0);
	wr_u32(w, 120);
	wr_u32(w, 0);
	wr_u32(w, max_output);
	wr_u32(w, SMB2_IOCTL_IS_FSCTL);
	wr_u32(w, 0);
}

void
put_echo(struct made *m, uint64_t mid, bool response)
{
	const struct hdr2 h = { .command = SMB2_ECHO, .message_id = mid, .credits = 5,
		.session_id = response ? 0 : SESSION,
		.flags = response ? SMB2_FLAGS_SERVER_TO_REDIR : 0 };
	struct wr *w = made_next(m);

	hdr2_put(w, &h);
	wr_u16(w, 4);
	wr_u16(w, 0);
}

void
put_list_resp(struct made *m, uint64_t mid, uint32_t flags, const char *const *addrs)
{
	struct hdr2 h = { .command = SMB2_IOCTL, .message_id = mid, .session_id = SESSION,
		.credits = 9, .flags = SMB2_FLAGS_SERVER_TO_REDIR | flags };
	uint8_t out[16 * IFINFO_ENTRY_LEN];
	struct ifinfo e[16];
	struct ioctl2_resp r = { .ctl_code = FSCTL_QUERY_NETWORK_INTERFACE_INFO, .output = out };
	size_t n = 0;

	for (; addrs[n] != NULL; n++) {
		e[n] = (struct ifinfo){ .ifindex = (uint32_t)n + 1, .link_speed = 1000 };
		assert_int_equal(addr_parse(&e[n].addr, addrs[n]), 0);
	}
	r.output_len = list_put(out, sizeof(out), e, n);
	ioctl2_resp_put(made_next(m), &h, &r);
}

void
put_error(struct made *m, uint64_t mid, uint32_t status, uint32_t flags)
{
	const struct hdr2 h = { .command = SMB2_IOCTL, .message_id = mid, .session_id = SESSION,
		.credits = 1, .status = status, .flags = SMB2_FLAGS_SERVER_TO_REDIR | flags };

	err2_put(made_next(m), &h);
}

/* The parts of the one frame that went out in a direction. */
unsigned
parts_out(struct talk *t, enum dir d, struct part2 *parts, unsigned max)
{
	struct buf *out = &t->side[d].out;
	struct chain2 c;
	struct nbss n;
	unsigned k = 0;

	assert_int_equal(nbss_get(&n, buf_head(out), buf_len(out)), 0);
	assert_int_equal(n.len + NBSS_HDR_LEN, buf_len(out));
	chain2_init(&c, buf_head(out) + NBSS_HDR_LEN, n.len);
	while (k < max && chain2_next(&c, &parts[k]) == 1)
		k++;
	return k;
}

const uint8_t *
part_bytes(struct talk *t, enum dir d, const struct part2 *p)
{
	return buf_head(&t->side[d].out) + NBSS_HDR_LEN + p->off;
}

void
expect_list(struct talk *t, const struct part2 *p, const char *want)
{
	struct ifinfo e[16];
	struct ioctl2_resp r;
	char text[512] = "", a[ADDR_STRLEN];
	size_t n;

	assert_int_equal(p->hdr.status, STATUS_SUCCESS);
	assert_int_equal(ioctl2_resp_get(&r, part_bytes(t, S2C, p), p->len), 0);
	assert_int_equal(ifinfo_get(e, 16, &n, r.output, r.output_len), 0);
	for (size_t i = 0; i < n; i++) {
		strcat(text, i == 0 ? "" : " ");
		strcat(text, addr_str(&e[i].addr, a));
	}
	assert_string_equal(text, want);
}
