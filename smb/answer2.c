/* answer2.c: how long the answer to an SMB2 request may well be */
#include "config.h"

#include "smb/answer2.h"

#include "base/rd.h"
#include "smb/chain2.h"
#include "smb/const.h"

/* Header, body, create contexts, an error with its data. */
#define ANSWER_ROOM 1024
/* Clients offer 64 KiB to everything, and what is neither data nor a directory needs little. */
#define ANSWER_USUAL 8192

static size_t
answer_field(const struct part2 *p, const unsigned char *msg, size_t off)
{
	struct rd r = rd_init(msg, p->len);

	rd_skip(&r, SMB2_HDR_LEN + off);
	return rd_u32(&r);
}

size_t
answer2_room(const struct part2 *p, const unsigned char *msg)
{
	size_t n;

	switch (p->hdr.command) {
	case SMB2_READ:
		return ANSWER_ROOM + answer_field(p, msg, 4);
	case SMB2_QUERY_DIRECTORY:
		return ANSWER_ROOM + answer_field(p, msg, 28);
	case SMB2_QUERY_INFO:
	case SMB2_CHANGE_NOTIFY:
		n = answer_field(p, msg, 4);
		break;
	case SMB2_IOCTL:
		n = answer_field(p, msg, 44);
		break;
	default:
		n = 0;
	}
	return ANSWER_ROOM + (n < ANSWER_USUAL ? n : ANSWER_USUAL);
}
