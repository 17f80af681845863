/* err2.c: SMB2 ERROR responses, and requests that stand in for others: what smbgate makes itself */
#include "config.h"

#include "smb/err2.h"

#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"
#include "smb/hdr2.h"

#define ERR2_SIZE 9
/* Servers count their sessions or draw 32 bits; all ones has a meaning, [MS-SMB2] 2.2.1.2. */
#define NOBODYS_SESSION 0xfffffffffffffffeull

void
err2_put(struct wr *w, const struct hdr2 *h)
{
	hdr2_put(w, h);
	wr_u16(w, ERR2_SIZE);
	wr_u16(w, 0);
	wr_u32(w, 0);
	/* ErrorData is one byte where ByteCount is 0. */
	wr_u8(w, 0);
}

bool
err2_is(const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg, len);

	rd_skip(&r, SMB2_HDR_LEN);
	return rd_u16(&r) == ERR2_SIZE;
}

static void
stand_in_put(struct wr *w, const struct hdr2 *req, uint16_t command, uint64_t session_id,
    uint32_t tree_id)
{
	const struct hdr2 h = {
		.credit_charge = req->credit_charge,
		.command = command,
		.credits = req->credits,
		.next = req->next,
		.message_id = req->message_id,
		.tree_id = tree_id,
		.session_id = session_id,
	};

	hdr2_put(w, &h);
}

void
echo2_put(struct wr *w, uint16_t command, const struct hdr2 *req)
{
	stand_in_put(w, req, command, 0, 0);
	wr_u16(w, 4);
	wr_u16(w, 0);
}

void
flush2_put(struct wr *w, const struct hdr2 *req, uint64_t session_id, uint32_t tree_id)
{
	stand_in_put(w, req, SMB2_FLUSH, session_id, tree_id);
	wr_u16(w, 24);
	wr_u16(w, 0);
	wr_u32(w, 0);
	/* No file has this one, [MS-SMB2] 2.2.14.1. */
	wr_u64(w, UINT64_MAX);
	wr_u64(w, UINT64_MAX);
}

void
nobody2_put(struct wr *w, const struct hdr2 *req)
{
	stand_in_put(w, req, SMB2_SESSION_SETUP, NOBODYS_SESSION, 0);
	wr_u16(w, 25);
	wr_u8(w, 0);
	wr_u8(w, SMB2_NEGOTIATE_SIGNING_ENABLED);
	wr_u32(w, 0);
	wr_u32(w, 0);
	wr_u16(w, SMB2_HDR_LEN + 24);
	wr_u16(w, 0);
	wr_u64(w, 0);
	/* smbd wants a byte of buffer, used or not. */
	wr_u8(w, 0);
}
