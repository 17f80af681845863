/* chain2.h: walk the messages of a compounded SMB2 frame */
#ifndef SMB_CHAIN2_H
#define SMB_CHAIN2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smb/hdr2.h"

/* More parts than any client sends; each costs a header at least. */
#define CHAIN2_MAX_PARTS 64

/*
 * [MS-SMB2] 3.2.4.1.4, 3.3.5.2.7: a frame holds one message or several, linked by NextCommand.
 * The walk goes strictly forward: NextCommand is 0 (last) or at least 64, a multiple of 8 and
 * inside what is left.
 */
struct chain2 {
	const uint8_t *frame;
	size_t len;
	size_t off;
	unsigned parts;
	bool end;
	uint64_t last_session;
	uint32_t last_tree;
};

/* One message: frame[off, off+len), its padding included. */
struct part2 {
	size_t off;
	size_t len;
	bool last;
	struct hdr2 hdr;
	/* As the server takes them: those of the message before for related operations. */
	uint64_t session_id;
	uint32_t tree_id;
};

/* frame starts at the first SMB2 header (behind the 4-byte transport header) and is borrowed. */
void chain2_init(struct chain2 *c, const uint8_t *frame, size_t len);

/* 1: *p is the next message. 0: there is none. -1: the frame breaks a rule (or has too many). */
int chain2_next(struct chain2 *c, struct part2 *p) __attribute__((warn_unused_result));

#endif
