/* ioctl2.c: the envelope of SMB2 IOCTL requests and responses */
#include "config.h"

#include "smb/ioctl2.h"

#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/err2.h"
#include "smb/hdr2.h"

/* StructureSize and where the buffer begins at the earliest, from the SMB2 header on. */
#define REQ_SIZE 57
#define REQ_FIXED (SMB2_HDR_LEN + 56)
#define RESP_SIZE 49
#define RESP_FIXED IOCTL2_RESP_LEN

uint32_t
ioctl2_peek(const uint8_t *msg, size_t n)
{
	struct rd r = rd_init(msg, n);

	if (err2_is(msg, n))
		return 0;
	rd_skip(&r, IOCTL2_PEEK_LEN - 4);
	return rd_u32(&r);
}

uint32_t
ioctl2_peek_max(const uint8_t *msg, size_t n)
{
	struct rd r = rd_init(msg, n);

	rd_skip(&r, IOCTL2_MAX_OUTPUT);
	return rd_u32(&r);
}

int
ioctl2_req_get(struct ioctl2_req *q, const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg, len);
	uint32_t in_off, out_off, out_count;
	uint16_t size;

	*q = (struct ioctl2_req){ 0 };
	if (!hdr2_is(msg, len, SMB2_IOCTL, false))
		return -1;
	rd_skip(&r, SMB2_HDR_LEN);
	size = rd_u16(&r);
	rd_skip(&r, 2);
	q->ctl_code = rd_u32(&r);
	rd_copy(&r, q->file_id, sizeof(q->file_id));
	in_off = rd_u32(&r);
	q->input_count = rd_u32(&r);
	rd_skip(&r, 4);
	out_off = rd_u32(&r);
	out_count = rd_u32(&r);
	q->max_output = rd_u32(&r);
	q->flags = rd_u32(&r);
	rd_skip(&r, 4);
	/* The contents do not matter here, but [MS-SMB2] 3.3.5.15 refuses what does not fit. */
	(void)hdr2_buffer(&r, in_off, q->input_count, REQ_FIXED);
	(void)hdr2_buffer(&r, out_off, out_count, REQ_FIXED);
	return rd_ok(&r) && size == REQ_SIZE ? 0 : -1;
}

int
ioctl2_resp_get(struct ioctl2_resp *a, const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg, len), out;
	uint32_t in_off, in_count, out_off, out_count;
	uint16_t size;

	*a = (struct ioctl2_resp){ 0 };
	if (!hdr2_is(msg, len, SMB2_IOCTL, true))
		return -1;
	rd_skip(&r, SMB2_HDR_LEN);
	size = rd_u16(&r);
	rd_skip(&r, 2);
	a->ctl_code = rd_u32(&r);
	rd_copy(&r, a->file_id, sizeof(a->file_id));
	in_off = rd_u32(&r);
	in_count = rd_u32(&r);
	out_off = rd_u32(&r);
	out_count = rd_u32(&r);
	a->flags = rd_u32(&r);
	rd_skip(&r, 4);
	(void)hdr2_buffer(&r, in_off, in_count, RESP_FIXED);
	out = hdr2_buffer(&r, out_off, out_count, RESP_FIXED);
	if (!rd_ok(&r) || size != RESP_SIZE)
		return -1;
	a->output = out.base;
	a->output_len = out.len;
	return 0;
}

void
ioctl2_resp_put(struct wr *w, const struct hdr2 *h, const struct ioctl2_resp *a)
{
	if (a->output_len > UINT32_MAX) {
		w->bad = true;
		return;
	}
	hdr2_put(w, h);
	wr_u16(w, RESP_SIZE);
	wr_u16(w, 0);
	wr_u32(w, a->ctl_code);
	wr_bytes(w, a->file_id, sizeof(a->file_id));
	wr_u32(w, RESP_FIXED);
	wr_u32(w, 0);
	wr_u32(w, RESP_FIXED);
	wr_u32(w, (uint32_t)a->output_len);
	wr_u32(w, a->flags);
	wr_u32(w, 0);
	if (a->output != NULL)
		wr_bytes(w, a->output, a->output_len);
}
