/* sess2.c: SMB2 SESSION_SETUP request and response */
#include "config.h"

#include "smb/sess2.h"

#include "base/rd.h"
#include "smb/const.h"
#include "smb/hdr2.h"

/* StructureSize and where the buffer begins at the earliest, from the SMB2 header on. */
#define REQ_SIZE 25
#define REQ_FIXED (SMB2_HDR_LEN + 24)
#define RESP_SIZE 9
#define RESP_FIXED (SMB2_HDR_LEN + 8)

int
sess2_req_get(struct sess2_req *s, const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg, len), blob;
	uint16_t size, off, blen;

	*s = (struct sess2_req){ 0 };
	if (!hdr2_is(msg, len, SMB2_SESSION_SETUP, false))
		return -1;
	rd_skip(&r, SMB2_HDR_LEN);
	size = rd_u16(&r);
	s->flags = rd_u8(&r);
	s->security_mode = rd_u8(&r);
	s->capabilities = rd_u32(&r);
	rd_skip(&r, 4);
	off = rd_u16(&r);
	blen = rd_u16(&r);
	s->previous_session_id = rd_u64(&r);
	blob = hdr2_buffer(&r, off, blen, REQ_FIXED);
	if (!rd_ok(&r) || size != REQ_SIZE)
		return -1;
	s->blob = blob.base;
	s->blob_len = blen;
	return 0;
}

int
sess2_resp_get(struct sess2_resp *s, const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg, len), blob;
	uint16_t size, off, blen;
	uint32_t status;

	*s = (struct sess2_resp){ 0 };
	if (!hdr2_is(msg, len, SMB2_SESSION_SETUP, true))
		return -1;
	/* The body of an ERROR response has the same StructureSize. */
	rd_skip(&r, 8);
	status = rd_u32(&r);
	if (status != STATUS_SUCCESS && status != STATUS_MORE_PROCESSING_REQUIRED)
		return -1;
	rd_skip(&r, SMB2_HDR_LEN - 12);
	size = rd_u16(&r);
	s->session_flags = rd_u16(&r);
	off = rd_u16(&r);
	blen = rd_u16(&r);
	blob = hdr2_buffer(&r, off, blen, RESP_FIXED);
	if (!rd_ok(&r) || size != RESP_SIZE)
		return -1;
	s->blob = blob.base;
	s->blob_len = blen;
	return 0;
}
