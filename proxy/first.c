/* first.c: pure: what kind of opening the first frame of a client is */
#include "config.h"

#include "proxy/first.h"

#include "base/rd.h"
#include "smb/const.h"
#include "smb/hdr2.h"
#include "smb/neg2.h"

static struct first
first_bad(enum close_reason why)
{
	return (struct first){ .kind = FIRST_BAD, .why = why };
}

static struct first
first_smb2(const uint8_t *msg, size_t len)
{
	struct first f = { .kind = FIRST_SMB2 };
	struct neg2_req r;
	struct hdr2 h;

	if (len < SMB2_HDR_LEN)
		return first_bad(CLOSE_SHORT_FRAME);
	if (hdr2_get(&h, msg, len) == -1)
		return first_bad(CLOSE_BAD_MESSAGE);
	if (h.command != SMB2_NEGOTIATE)
		return first_bad(CLOSE_BAD_FIRST);
	if (h.next != 0)
		return first_bad(CLOSE_BAD_CHAIN);
	if (neg2_req_get(&r, msg, len) == -1)
		return first_bad(CLOSE_BAD_MESSAGE);
	f.has_guid = neg2_req_has_guid(&r);
	f.guid = r.client_guid;
	f.min_dialect = r.min_dialect;
	f.max_dialect = r.max_dialect;
	return f;
}

static struct first
first_smb1(const uint8_t *msg, size_t len)
{
	struct first f = { .kind = FIRST_SMB1 };
	struct neg1_req r;

	if (hdr1_get(&f.hdr1, msg, len) == -1)
		return first_bad(CLOSE_BAD_MESSAGE);
	if (f.hdr1.command != SMB1_COM_NEGOTIATE)
		return first_bad(CLOSE_BAD_FIRST);
	if (neg1_req_get(&r, msg, len) == -1)
		return first_bad(CLOSE_BAD_MESSAGE);
	f.smb2_002 = r.smb2_002;
	if (r.smb2_any)
		f.kind = FIRST_MULTI;
	else if (r.smb2_002)
		f.kind = FIRST_SMB2_002;
	return f;
}

struct first
first_judge(const uint8_t *frame, size_t len)
{
	struct rd r = rd_init(frame, len);
	uint32_t id;

	rd_seek(&r, NBSS_HDR_LEN);
	id = rd_u32(&r);
	if (id == SMB2_PROTOCOL_ID)
		return first_smb2(frame + NBSS_HDR_LEN, len - NBSS_HDR_LEN);
	if (id == SMB1_PROTOCOL_ID)
		return first_smb1(frame + NBSS_HDR_LEN, len - NBSS_HDR_LEN);
	return first_bad(CLOSE_BAD_PROTOCOL);
}
