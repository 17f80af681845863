/* netbios.h: the NetBIOS session request and its answers */
#ifndef SMB_NETBIOS_H
#define SMB_NETBIOS_H

#include <stddef.h>
#include <stdint.h>

/* Of the text of a name, with its NUL. */
#define NETBIOS_NAME_MAX 16

/* Two names without, and with the longest possible, scope: RFC 1002 4.1, 4.3.2. */
#define NETBIOS_REQUEST_MIN 68
#define NETBIOS_REQUEST_MAX (2 * 255)

/* A name as people write it: what it was padded with is left out, and the scope is. */
struct netbios_name {
	char text[NETBIOS_NAME_MAX];	/* printable; beyond ASCII in the sender's code page */
	uint8_t suffix;			/* the sixteenth byte: what kind of name it is */
};

struct netbios_request {
	struct netbios_name called, calling;
};

/* Of a negative answer, RFC 1002 4.3.4. 0: no error. */
enum netbios_error {
	NETBIOS_GRANTED = 0,
	NETBIOS_NO_CALLING = 0x81,	/* not listening for that calling name */
	NETBIOS_NO_CALLED = 0x82,	/* the called name is not present */
	NETBIOS_UNSPECIFIED = 0x8f,
};

/* Header and one error byte. */
#define NETBIOS_ANSWER_MAX 5

/*
 * p: the trailer of a session request, RFC 1002 4.3.2, behind the 4-byte header. All of it must be
 * two names in first-level encoding, RFC 1001 14.1; with an error nothing in *r has a meaning.
 */
enum netbios_error netbios_request_get(struct netbios_request *r, const uint8_t *p, size_t len)
    __attribute__((warn_unused_result));

/* Writes the answer, and returns its length. */
size_t netbios_answer_put(uint8_t dst[NETBIOS_ANSWER_MAX], enum netbios_error e);

#endif
