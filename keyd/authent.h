/* authent.h: pure: what tickets, authenticators and AP-REPs say, once they are decrypted */
#ifndef KEYD_AUTHENT_H
#define KEYD_AUTHENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 4120, 5.5.1 and 5.5.2; the bytes are those of the message. */
struct authent {
	int64_t ctime;			/* seconds since 1970 */
	uint32_t cusec;
	const uint8_t *subkey;		/* NULL: none */
	size_t subkey_len;
	/* Of an authenticator with the checksum of GSS-API, RFC 4121 4.1.1: */
	bool has_flags;
	uint32_t flags;
};

#define AUTHENT_GSS_MUTUAL 0x2u

#define AUTHENT_COMPONENTS_MAX 8

struct authent_text {
	const uint8_t *p;
	size_t n;
};

/* EncTicketPart, RFC 4120 5.3, as far as the client's name. */
struct authent_ticket {
	uint32_t enctype;
	const uint8_t *key;
	size_t key_len;
	struct authent_text realm, component[AUTHENT_COMPONENTS_MAX];
	size_t ncomponents;
};

/* 0, or -1 when it is not one. */
int authent_ticket_get(struct authent_ticket *t, const uint8_t *p, size_t n)
    __attribute__((warn_unused_result));
int authent_get(struct authent *a, const uint8_t *p, size_t n) __attribute__((warn_unused_result));
int authent_reply_get(struct authent *a, const uint8_t *p, size_t n)
    __attribute__((warn_unused_result));

#endif
