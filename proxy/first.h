/* first.h: pure: what kind of opening the first frame of a client is */
#ifndef PROXY_FIRST_H
#define PROXY_FIRST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"
#include "smb/neg1.h"
#include "stats/close.h"

enum first_kind {
	FIRST_BAD,		/* see why */
	FIRST_SMB2,		/* SMB2 NEGOTIATE */
	FIRST_MULTI,		/* SMB1 NEGOTIATE that offers "SMB 2.???": the GUID comes next */
	FIRST_SMB2_002,		/* SMB1 NEGOTIATE whose best offer is "SMB 2.002": without a GUID */
	FIRST_SMB1,		/* SMB1 NEGOTIATE without SMB2 */
};

struct first {
	enum first_kind kind;
	enum close_reason why;
	bool has_guid;		/* FIRST_SMB2: the client can be told by its ClientGuid */
	struct guid guid;
	uint16_t min_dialect, max_dialect;	/* FIRST_SMB2: of those that are offered */
	bool smb2_002;		/* the SMB1 kinds: "SMB 2.002" is offered */
	struct hdr1 hdr1;	/* the SMB1 kinds */
};

/* frame: whole, transport header included. */
struct first first_judge(const uint8_t *frame, size_t len);

#endif
