/* neg1.c: the SMB1 header and the SMB1 (multi-protocol) NEGOTIATE */
#include "config.h"

#include "smb/neg1.h"

#include "base/rd.h"
#include "base/wr.h"
#include "smb/const.h"

#include <string.h>

#define BUFFER_FORMAT_DIALECT 0x02

/* SMB_FLAGS_CASE_INSENSITIVE, the one flag that a server says back: [MS-CIFS] 2.2.3.1. */
#define FLAGS_CASELESS 0x08
/* Not in a refusal: signatures (and "required") and a security blob, [MS-SMB] 2.2.3.1. */
#define FLAGS2_SIGNATURES 0x0014
#define FLAGS2_EXTENDED_SECURITY 0x0800

/* Unicode, NT status codes, extended security, long names: as any client since 2000. */
#define FLAGS2_PROBE 0xc801
/* The PID of a client that has no processes. */
#define PID_PROBE 0xfffe

static bool
is_string(const uint8_t *p, size_t n, const char *text)
{
	return n == strlen(text) && memcmp(p, text, n) == 0;
}

int
hdr1_get(struct hdr1 *h, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);
	uint32_t protocol;

	protocol = rd_u32(&r);
	h->command = rd_u8(&r);
	h->status = rd_u32(&r);
	h->flags = rd_u8(&r);
	h->flags2 = rd_u16(&r);
	h->pid_high = rd_u16(&r);
	rd_copy(&r, h->signature, sizeof(h->signature));
	/* Reserved. */
	rd_skip(&r, 2);
	h->tid = rd_u16(&r);
	h->pid = rd_u16(&r);
	h->uid = rd_u16(&r);
	h->mid = rd_u16(&r);
	return rd_ok(&r) && protocol == SMB1_PROTOCOL_ID ? 0 : -1;
}

int
neg1_req_get(struct neg1_req *n, const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg, len), list;
	uint8_t words;
	uint16_t bytes;

	*n = (struct neg1_req){ 0 };
	if (hdr1_get(&n->hdr, msg, len) < 0 || n->hdr.command != SMB1_COM_NEGOTIATE ||
	    (n->hdr.flags & SMB1_FLAGS_REPLY) != 0)
		return -1;
	rd_skip(&r, SMB1_HDR_LEN);
	words = rd_u8(&r);
	bytes = rd_u16(&r);
	list = rd_sub(&r, r.pos, bytes);
	if (!rd_ok(&r) || words != 0 || bytes == 0)
		return -1;
	while (rd_left(&list) > 0) {
		const uint8_t *text, *nul;
		size_t left;

		if (rd_u8(&list) != BUFFER_FORMAT_DIALECT)
			return -1;
		left = rd_left(&list);
		if (left == 0)
			return -1;
		text = rd_bytes(&list, left);
		nul = memchr(text, '\0', left);
		/* Some clients do not count the last NUL. What to make of that is the node's. */
		if (nul == NULL)
			nul = text + left;
		else
			rd_seek(&list, (size_t)(nul + 1 - list.base));
		n->ndialects++;
		n->smb2_any |= is_string(text, (size_t)(nul - text), "SMB 2.???");
		n->smb2_002 |= is_string(text, (size_t)(nul - text), "SMB 2.002");
	}
	return 0;
}

void
neg1_refuse_put(struct wr *w, const struct hdr1 *req)
{
	wr_u32(w, SMB1_PROTOCOL_ID);
	wr_u8(w, SMB1_COM_NEGOTIATE);
	wr_u32(w, STATUS_SUCCESS);
	wr_u8(w, SMB1_FLAGS_REPLY | (req->flags & FLAGS_CASELESS));
	wr_u16(w, req->flags2 & (uint16_t)~(FLAGS2_SIGNATURES | FLAGS2_EXTENDED_SECURITY));
	wr_u16(w, req->pid_high);
	wr_zero(w, 8 + 2);
	wr_u16(w, req->tid);
	wr_u16(w, req->pid);
	wr_u16(w, req->uid);
	wr_u16(w, req->mid);
	wr_u8(w, 1);
	wr_u16(w, 0xffff);
	wr_u16(w, 0);
}

void
neg1_probe_put(struct wr *w)
{
	static const char *const dialects[] = { "NT LM 0.12", "SMB 2.002", "SMB 2.???" };
	uint16_t bytes = 0;

	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++)
		bytes = (uint16_t)(bytes + 1 + strlen(dialects[i]) + 1);
	wr_u32(w, SMB1_PROTOCOL_ID);
	wr_u8(w, SMB1_COM_NEGOTIATE);
	wr_u32(w, STATUS_SUCCESS);
	wr_u8(w, FLAGS_CASELESS);
	wr_u16(w, FLAGS2_PROBE);
	wr_zero(w, 2 + 8 + 2);
	wr_u16(w, 0xffff);
	wr_u16(w, PID_PROBE);
	wr_u16(w, 0);
	wr_u16(w, 0);
	wr_u8(w, 0);
	wr_u16(w, bytes);
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
		wr_u8(w, BUFFER_FORMAT_DIALECT);
		wr_bytes(w, dialects[i], strlen(dialects[i]) + 1);
	}
}

bool
neg1_resp_good(const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg, len);
	struct hdr1 h;
	uint8_t words;
	uint16_t index;

	if (hdr1_get(&h, msg, len) == -1 || h.command != SMB1_COM_NEGOTIATE ||
	    (h.flags & SMB1_FLAGS_REPLY) == 0 || h.status != STATUS_SUCCESS)
		return false;
	rd_skip(&r, SMB1_HDR_LEN);
	words = rd_u8(&r);
	index = rd_u16(&r);
	return rd_ok(&r) && words > 0 && index != 0xffff;
}
