/* apreq.h: what an AP-REQ says in the clear about the key that it needs */
#ifndef KEYD_APREQ_H
#define KEYD_APREQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 4120, 5.5.1 and 5.3. */
struct apreq {
	uint32_t enctype;
	uint32_t kvno;
	bool has_kvno;
	char server[96];		/* "cifs/nas@LAB.EXAMPLE", cut if need be */
};

/* 0, or -1 when it is not one. */
int apreq_get(struct apreq *a, const uint8_t *p, size_t n) __attribute__((warn_unused_result));

#endif
