/* chain1.h: walk the AndX blocks of an SMB1 message */
#ifndef SMB_CHAIN1_H
#define SMB_CHAIN1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smb/neg1.h"

/*
 * One block of parameters and data, [MS-CIFS] 2.2.3.2, 2.2.3.3. Offsets count from the SMB1
 * header. The words are there; the bytes need not be: a WRITE_ANDX beyond 64 KiB says less than it
 * carries.
 */
struct block1 {
	uint8_t command;
	uint8_t words;		/* WordCount */
	size_t words_off;	/* of the first of them */
	size_t bytes_off;
	uint16_t bytes;		/* ByteCount */
};

/* How far the walk has come, and the header of the message. */
struct chain1 {
	struct hdr1 hdr;
	const uint8_t *msg;
	size_t len;
	size_t off;		/* of the next block */
	uint8_t command;	/* of the next block */
	bool end;
	unsigned n;
};

/* More than any sender chains. */
#define CHAIN1_MAX_BLOCKS 32

/* Bytes of a message that chain1_more() needs at most. */
#define CHAIN1_PEEK_LEN 34

/*
 * Does the message have, or may it have, a second block? p: its first CHAIN1_PEEK_LEN bytes, or all
 * of it.
 */
bool chain1_more(const uint8_t *p, size_t n);

/* msg: from the SMB1 header on; borrowed. 0, or -1 when it is no SMB1 header. */
int chain1_init(struct chain1 *c, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));

/*
 * 1 with the next block, 0 at the end, -1 when it is malformed: what does not fit, an offset that
 * does not lead on behind the words of its own block, or too many. [MS-CIFS] 2.2.3.4.
 */
int chain1_next(struct chain1 *c, struct block1 *b) __attribute__((warn_unused_result));

#endif
