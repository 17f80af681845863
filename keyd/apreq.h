/* apreq.h: what an AP-REQ says in the clear, and what is in it */
#ifndef KEYD_APREQ_H
#define KEYD_APREQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* EncryptedData, RFC 4120 5.2.9; the bytes are those of the message. */
struct apreq_enc {
	uint32_t enctype;
	const uint8_t *p;
	size_t n;
};

/* RFC 4120, 5.5.1 and 5.3. */
struct apreq {
	uint32_t enctype;
	uint32_t kvno;
	bool has_kvno;
	char server[96];		/* "cifs/nas@LAB.EXAMPLE", cut if need be */
	bool mutual;			/* ap-options: an AP-REP is asked for */
	struct apreq_enc ticket, authenticator;
};

/* 0, or -1 when it is not one. */
int apreq_get(struct apreq *a, const uint8_t *p, size_t n) __attribute__((warn_unused_result));
/* What is encrypted in an AP-REP, RFC 4120 5.5.2. The same. */
int aprep_get(struct apreq_enc *e, const uint8_t *p, size_t n) __attribute__((warn_unused_result));

#endif
