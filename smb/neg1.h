/* neg1.h: the SMB1 header and the SMB1 (multi-protocol) NEGOTIATE */
#ifndef SMB_NEG1_H
#define SMB_NEG1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wr;

/* SMB1 header, [MS-CIFS] 2.2.3.1: what smbgate needs of it. */
struct hdr1 {
	uint8_t command;
	uint32_t status;
	uint8_t flags;
	uint16_t flags2;
	uint8_t signature[8];
	uint16_t tid;
	uint16_t pid_high;
	uint16_t pid;
	uint16_t uid;
	uint16_t mid;
};

/* SMB_COM_NEGOTIATE request, [MS-CIFS] 2.2.4.52.1, [MS-SMB2] 3.2.4.2.2.1. */
struct neg1_req {
	struct hdr1 hdr;
	unsigned ndialects;
	bool smb2_any;		/* "SMB 2.???" is offered */
	bool smb2_002;		/* "SMB 2.002" is offered */
};

/* 0, or -1 when it is no SMB1 header. */
int hdr1_get(struct hdr1 *h, const uint8_t *p, size_t n) __attribute__((warn_unused_result));

/* msg: from the SMB1 header on. 0, or -1 when it is not a well-formed NEGOTIATE request. */
int neg1_req_get(struct neg1_req *r, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));

/*
 * Appends a NEGOTIATE response with DialectIndex 0xffff, "no dialect in common", [MS-CIFS]
 * 2.2.4.52.2: how a server without SMB1 refuses a client that has nothing else.
 */
void neg1_refuse_put(struct wr *w, const struct hdr1 *req);

/*
 * Appends a NEGOTIATE request that offers SMB1, and SMB2 as [MS-SMB2] 3.2.4.2.2.1 has it: the
 * health probe of nodes that may know SMB1 alone.
 */
void neg1_probe_put(struct wr *w);
/*
 * msg: from the SMB1 header on. Is it the answer of a server that has chosen one of the dialects?
 */
bool neg1_resp_good(const uint8_t *msg, size_t len);

#endif
