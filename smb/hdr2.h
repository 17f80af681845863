/* hdr2.h: the SMB2 packet header */
#ifndef SMB_HDR2_H
#define SMB_HDR2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rd.h"

struct wr;

/* No message has it. */
#define HDR2_NO_COMMAND 0xffff

/* SMB2 packet header, SYNC and ASYNC form, [MS-SMB2] 2.2.1. 64 bytes on the wire. */
struct hdr2 {
	uint16_t credit_charge;
	uint32_t status;	/* in requests: ChannelSequence and Reserved */
	uint16_t command;
	uint16_t credits;	/* CreditRequest or CreditResponse */
	uint32_t flags;
	uint32_t next;		/* NextCommand, as sent: check it with smb/chain2.h */
	uint64_t message_id;
	uint64_t async_id;	/* only with SMB2_FLAGS_ASYNC_COMMAND */
	uint32_t process_id;	/* only without */
	uint32_t tree_id;	/* only without */
	uint64_t session_id;
	uint8_t signature[16];
};

/* 0, or -1 when fewer than 64 bytes, another ProtocolId or a StructureSize other than 64. */
int hdr2_get(struct hdr2 *h, const uint8_t *p, size_t n) __attribute__((warn_unused_result));

/* Would hdr2_get() take it, and is it of an answer to, or of a request with, that command? */
bool hdr2_is(const uint8_t *p, size_t n, uint16_t command, bool answer);

/*
 * A buffer that a message says is n bytes at off, as a reader of its own. Offsets count from the
 * header, where r begins; fixed is the end of the message's own fields, and a buffer that overlaps
 * them makes both bad. An empty one may say any offset.
 */
struct rd hdr2_buffer(struct rd *r, size_t off, size_t n, size_t fixed);

/* Appends the 64 bytes. */
void hdr2_put(struct wr *w, const struct hdr2 *h);

/*
 * The header of an answer to the request req: same command, MessageId, CreditCharge, SessionId
 * and TreeId; SERVER_TO_REDIR set, RELATED kept, nothing signed; credits as granted.
 */
struct hdr2 hdr2_reply(const struct hdr2 *req, uint32_t status, uint16_t credits);

#endif
