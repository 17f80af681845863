/* err2.c: SMB2 ERROR responses and ECHO requests, the two messages that smbgate makes itself */
#include "config.h"

#include "smb/err2.h"

#include "base/wr.h"
#include "smb/const.h"
#include "smb/hdr2.h"

void
err2_put(struct wr *w, const struct hdr2 *h)
{
	hdr2_put(w, h);
	wr_u16(w, 9);
	wr_u16(w, 0);
	wr_u32(w, 0);
	/* ErrorData is one byte where ByteCount is 0. */
	wr_u8(w, 0);
}

void
echo2_put(struct wr *w, const struct hdr2 *req)
{
	struct hdr2 h = {
		.credit_charge = req->credit_charge,
		.command = SMB2_ECHO,
		.credits = req->credits,
		.next = req->next,
		.message_id = req->message_id,
	};

	hdr2_put(w, &h);
	wr_u16(w, 4);
	wr_u16(w, 0);
}
