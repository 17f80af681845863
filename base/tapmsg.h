/* tapmsg.h: what smbgate sends to those who watch connections: records of bytes and of decisions */
#ifndef BASE_TAPMSG_H
#define BASE_TAPMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 *	OPEN	a leg is watched from here on; its data are two addresses: tapmsg_ends
 *	DATA	bytes that went over a leg
 *	TEXT	a decision: an event's name, NUL, and text
 *	CLOSE	the connection is over; its data are the reason, as text
 *	END	no more comes; its data are an object of JSON
 */
enum tapmsg_kind { TAPMSG_OPEN = 1, TAPMSG_DATA, TAPMSG_TEXT, TAPMSG_CLOSE, TAPMSG_END };

enum tapmsg_leg { TAPMSG_CLIENT, TAPMSG_NODE };
/* As the peer of the leg sends, or as smbgate does. */
enum tapmsg_way { TAPMSG_RECEIVED, TAPMSG_SENT };

#define TAPMSG_HDR_LEN 40
/* No record has more data. */
#define TAPMSG_DATA_MAX (1024 * 1024)
#define TAPMSG_ENDS_LEN 36

struct tapmsg {
	uint32_t len;		/* of the data behind the header */
	uint8_t kind;		/* enum tapmsg_kind */
	uint8_t leg;		/* enum tapmsg_leg */
	uint8_t way;		/* enum tapmsg_way */
	bool fresh;		/* OPEN: nothing went over it before */
	uint64_t conn;
	uint64_t time_us;	/* since 1970 */
	uint64_t offset;	/* DATA: of its first byte, from where the leg was watched */
	uint32_t whole;		/* DATA: bytes that there were; the first of them follow */
};

/* A leg, as TCP has it. */
struct tapmsg_ends {
	struct addrport peer, own;
};

void tapmsg_put(uint8_t dst[TAPMSG_HDR_LEN], const struct tapmsg *m);
/* -1: it is not such a header. */
int tapmsg_get(struct tapmsg *m, const uint8_t src[TAPMSG_HDR_LEN])
    __attribute__((warn_unused_result));

void tapmsg_ends_put(uint8_t dst[TAPMSG_ENDS_LEN], const struct tapmsg_ends *e);
void tapmsg_ends_get(struct tapmsg_ends *e, const uint8_t src[TAPMSG_ENDS_LEN]);

#endif
