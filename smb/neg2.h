/* neg2.h: SMB2 NEGOTIATE request and response with their negotiate contexts */
#ifndef SMB_NEG2_H
#define SMB_NEG2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"

struct wr;

/* Of an answer: more than any real node sends ([MS-SMB2] knows 8 types). */
#define NEG2_MAX_CONTEXTS 32

/* NEGOTIATE request, [MS-SMB2] 2.2.3. */
struct neg2_req {
	uint16_t security_mode;
	uint32_t capabilities;
	struct guid client_guid;
	unsigned ndialects;
	uint16_t min_dialect, max_dialect;	/* of those that are offered */
};

/* NEGOTIATE response, [MS-SMB2] 2.2.4. blob points into the message. */
struct neg2_resp {
	uint16_t security_mode;
	uint16_t dialect;
	struct guid server_guid;
	uint32_t capabilities;
	uint32_t max_transact;
	uint32_t max_read;
	uint32_t max_write;
	uint64_t system_time;	/* FILETIME */
	uint64_t start_time;
	const uint8_t *blob;	/* SPNEGO hint token */
	size_t blob_len;
	/* From the contexts of 3.1.1; for older dialects what their rules imply: see neg2.c. */
	uint16_t cipher;	/* 0 = none */
	uint16_t signing;	/* SMB2_SIGNING_* */
	bool compression;	/* the server chose at least one algorithm */
	bool chained;		/* and can chain what is compressed with several */
};

/*
 * msg is one message from its SMB2 header on, len its bytes (padding allowed). 0, or -1 when it is
 * not a well-formed message of that kind: every count, offset and length is checked against len.
 */
int neg2_req_get(struct neg2_req *r, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));
int neg2_resp_get(struct neg2_resp *r, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));

/*
 * Does a node go by its ClientGuid? 2.0.2 has none, [MS-SMB2] 2.2.3. Zeros, which some libraries
 * send for everybody, are a GUID like any other: a CTDB cluster takes all of these for one client.
 */
bool neg2_req_has_guid(const struct neg2_req *r);

/*
 * Appends a whole NEGOTIATE response message (header, MessageId 0, one credit, body, blob; no
 * contexts): what a server answers to an SMB1 multi-protocol NEGOTIATE, [MS-SMB2] 3.3.5.3.1.
 */
void neg2_resp_put(struct wr *w, const struct neg2_resp *r);

/*
 * Appends a whole NEGOTIATE request message with MessageId 0: the health probe. It offers 2.0.2
 * to 3.1.1; salt (32 random bytes of the caller) goes into the preauth context.
 */
void neg2_probe_put(struct wr *w, const struct guid *client_guid, const uint8_t salt[32]);

#endif
