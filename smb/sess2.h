/* sess2.h: SMB2 SESSION_SETUP request and response */
#ifndef SMB_SESS2_H
#define SMB_SESS2_H

#include <stddef.h>
#include <stdint.h>

/* SESSION_SETUP request, [MS-SMB2] 2.2.5. blob points into the message. */
struct sess2_req {
	uint8_t flags;		/* SMB2_SESSION_FLAG_BINDING; not SMB1's VcNumber */
	uint8_t security_mode;
	uint32_t capabilities;
	uint64_t previous_session_id;
	const uint8_t *blob;
	size_t blob_len;
};

/* SESSION_SETUP response, [MS-SMB2] 2.2.6. */
struct sess2_resp {
	uint16_t session_flags;
	const uint8_t *blob;
	size_t blob_len;
};

/* msg: one message from its SMB2 header on. 0, or -1 when it is not well formed. */
int sess2_req_get(struct sess2_req *r, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));
/* For a status of success or MORE_PROCESSING_REQUIRED; errors have the body of smb/err2.h. */
int sess2_resp_get(struct sess2_resp *r, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));

#endif
