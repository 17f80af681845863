/* sess1.h: SMB1 SESSION_SETUP_ANDX request and response */
#ifndef SMB_SESS1_H
#define SMB_SESS1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block1;
struct chain1;

/*
 * SESSION_SETUP_ANDX request, [MS-CIFS] 2.2.4.53.1 (WordCount 10 or 13), [MS-SMB] 2.2.4.6.1 (12:
 * extended security). The forms begin alike, so VcNumber is always word 4. Ranges point into the
 * message.
 */
struct sess1_req {
	uint16_t vc_number;
	size_t vc_off;		/* of VcNumber, from the SMB1 header on */
	const uint8_t *blob;	/* WordCount 12: the security blob; else NULL */
	size_t blob_len;
	const uint8_t *account, *domain;	/* the other forms, without NUL; NULL: not there */
	size_t account_len, domain_len;
	uint16_t lm_len, nt_len;	/* of their responses to the challenge, or passwords */
	bool unicode;		/* both are UTF-16LE, else in the client's code page */
};

/*
 * b: a block of that command, of the message that c walks. 0, or -1 where there is no VcNumber.
 * What else does not fit is left out: it concerns the node.
 */
int sess1_req_get(struct sess1_req *s, const struct chain1 *c, const struct block1 *b)
    __attribute__((warn_unused_result));

/* Writes VcNumber into a copy of the message. */
void sess1_vc_put(uint8_t *msg, const struct sess1_req *s, uint16_t vc_number);

/* Of a response that is no error, [MS-CIFS] 2.2.4.53.2. */
#define SESS1_RESP_WORDS_MIN 3

/* Does the response's Action say that the client is a guest, [MS-CIFS] 2.2.4.53.2? */
bool sess1_resp_guest(const struct chain1 *c, const struct block1 *b);

/* The security blob of a response with extended security, [MS-SMB] 2.2.4.6.2; NULL: none. */
const uint8_t *sess1_resp_blob(const struct chain1 *c, const struct block1 *b, size_t *len);

#endif
