/* preauth.h: the running preauthentication integrity hash of SMB 3.1.1 */
#ifndef AUTH_PREAUTH_H
#define AUTH_PREAUTH_H

#include <stddef.h>
#include <stdint.h>

#define PREAUTH_LEN 64

/*
 * PreauthIntegrityHashValue with SHA-512, the only algorithm there is: [MS-SMB2] 3.1.4.4.2,
 * 3.3.5.4, 3.3.5.5. It starts as zeros. A connection hashes its NEGOTIATE request and answer; each
 * logon goes on from a copy with its SESSION_SETUP requests, and with those answers that want more
 * processing.
 */
struct preauth {
	uint8_t hash[PREAUTH_LEN];
};

struct crypt;

/* msg: a whole message as it was sent, from its SMB2 header on. -1 when memory is out. */
int preauth_add(struct crypt *c, struct preauth *h, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));

#endif
