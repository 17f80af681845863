/* negotiate.h: pure: a NEGOTIATE that offers one thing, and what a server answers */
#ifndef CTL_NEGOTIATE_H
#define CTL_NEGOTIATE_H

#include <stddef.h>
#include <stdint.h>

#define NEGOTIATE_MAX 256

/* Whether a server can do a thing is only seen where nothing else is offered. */
struct negotiate_offer {
	uint16_t dialect;
	/* Of 3.1.1: numbers of [MS-SMB2] 2.2.3.1.2 and 2.2.3.1.7. */
	uint16_t cipher, signing;
};

struct negotiate_answer {
	uint32_t status;		/* not 0: refused, and nothing else is known */
	uint16_t dialect, security_mode;
	uint32_t capabilities;
	uint64_t system_time;		/* FILETIME */
	uint16_t cipher, signing;	/* of 3.1.1; 0 and 0xffff: none was chosen */
};

/*
 * The whole message with its transport header; random: 48 bytes, for a ClientGuid that is nobody's
 * and the salt. How many bytes.
 */
size_t negotiate_put(uint8_t dst[NEGOTIATE_MAX], const struct negotiate_offer *o,
    const uint8_t random[48]);
/* msg: from the SMB2 header on. -1: it is no answer to a NEGOTIATE. */
int negotiate_get(struct negotiate_answer *a, const uint8_t *msg, size_t n)
    __attribute__((warn_unused_result));

#endif
