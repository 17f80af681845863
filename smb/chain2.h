/* chain2.h: walk the messages of a compounded SMB2 frame */
#ifndef SMB_CHAIN2_H
#define SMB_CHAIN2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smb/hdr2.h"

/* As many headers as fit into a frame that is held: no server counts them. */
#define CHAIN2_MAX_PARTS 1040

/*
 * [MS-SMB2] 3.2.4.1.4, 3.3.5.2.7: a frame holds one message or several, linked by NextCommand.
 * The walk goes strictly forward: NextCommand is 0 (last), or at least 64 and inside what is left;
 * it may say the very end (last, too). It should be a multiple of 8: smbd takes any, and reads on
 * where it says, so nobody else may read on elsewhere.
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

/* The length of the message with that header, of `left` bytes. 0, or -1: it breaks the rule. */
int chain2_len(const struct hdr2 *h, size_t left, size_t *len) __attribute__((warn_unused_result));

/* 1: *p is the next message. 0: there is none. -1: the frame breaks a rule (or has too many). */
int chain2_next(struct chain2 *c, struct part2 *p) __attribute__((warn_unused_result));

/* The same of a message whose header the caller has read itself, into p->hdr. */
int chain2_take(struct chain2 *c, struct part2 *p) __attribute__((warn_unused_result));

#endif
