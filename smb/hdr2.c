/* hdr2.c: the SMB2 packet header */
#include "config.h"

#include "smb/hdr2.h"

#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"

int
hdr2_get(struct hdr2 *h, const uint8_t *p, size_t n)
{
	/* Of a length that the compiler knows, it checks no field's bounds again. */
	struct rd r = rd_init(p, SMB2_HDR_LEN);
	uint32_t protocol;
	uint16_t size;

	if (n < SMB2_HDR_LEN) {
		*h = (struct hdr2){ 0 };
		return -1;
	}
	protocol = rd_u32(&r);
	size = rd_u16(&r);
	h->credit_charge = rd_u16(&r);
	h->status = rd_u32(&r);
	h->command = rd_u16(&r);
	h->credits = rd_u16(&r);
	h->flags = rd_u32(&r);
	h->next = rd_u32(&r);
	h->message_id = rd_u64(&r);
	if ((h->flags & SMB2_FLAGS_ASYNC_COMMAND) != 0) {
		h->async_id = rd_u64(&r);
		h->process_id = h->tree_id = 0;
	} else {
		h->async_id = 0;
		h->process_id = rd_u32(&r);
		h->tree_id = rd_u32(&r);
	}
	h->session_id = rd_u64(&r);
	rd_copy(&r, h->signature, sizeof(h->signature));
	return rd_ok(&r) && protocol == SMB2_PROTOCOL_ID && size == SMB2_HDR_LEN ? 0 : -1;
}

bool
hdr2_is(const uint8_t *p, size_t n, uint16_t command, bool answer)
{
	struct rd r = rd_init(p, SMB2_HDR_LEN);

	if (n < SMB2_HDR_LEN || rd_u32(&r) != SMB2_PROTOCOL_ID || rd_u16(&r) != SMB2_HDR_LEN)
		return false;
	rd_skip(&r, 6);
	if (rd_u16(&r) != command)
		return false;
	rd_skip(&r, 2);
	return ((rd_u32(&r) & SMB2_FLAGS_SERVER_TO_REDIR) != 0) == answer;
}

struct rd
hdr2_buffer(struct rd *r, size_t off, size_t n, size_t fixed)
{
	if (n == 0)
		return rd_sub(r, 0, 0);
	if (off < fixed)
		r->bad = true;
	return rd_sub(r, off, n);
}

void
hdr2_put(struct wr *w, const struct hdr2 *h)
{
	wr_u32(w, SMB2_PROTOCOL_ID);
	wr_u16(w, SMB2_HDR_LEN);
	wr_u16(w, h->credit_charge);
	wr_u32(w, h->status);
	wr_u16(w, h->command);
	wr_u16(w, h->credits);
	wr_u32(w, h->flags);
	wr_u32(w, h->next);
	wr_u64(w, h->message_id);
	if ((h->flags & SMB2_FLAGS_ASYNC_COMMAND) != 0) {
		wr_u64(w, h->async_id);
	} else {
		wr_u32(w, h->process_id);
		wr_u32(w, h->tree_id);
	}
	wr_u64(w, h->session_id);
	wr_bytes(w, h->signature, sizeof(h->signature));
}

struct hdr2
hdr2_reply(const struct hdr2 *req, uint32_t status, uint16_t credits)
{
	return (struct hdr2){
		.credit_charge = req->credit_charge,
		.status = status,
		.command = req->command,
		.credits = credits,
		.flags = SMB2_FLAGS_SERVER_TO_REDIR |
		    (req->flags & SMB2_FLAGS_RELATED_OPERATIONS),
		.message_id = req->message_id,
		/* Reserved in the specification; every server sends it back. */
		.process_id = req->process_id,
		.tree_id = req->tree_id,
		.session_id = req->session_id,
	};
}
