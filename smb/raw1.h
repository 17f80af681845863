/* raw1.h: what SMB1 sends without its header: bytes in raw mode, and encrypted messages */
#ifndef SMB_RAW1_H
#define SMB_RAW1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block1;

/*
 * A frame of raw bytes, [MS-CIFS] 2.2.4.22 and 2.2.4.25, could be taken for a message, and a
 * message for raw bytes; one that is encrypted, as Samba's UNIX extensions have it, could hide a
 * logon. So raw mode is not offered, and who asks for either is refused by the node. msg: from the
 * SMB1 header on; b: a block of it.
 */

/* Of a NEGOTIATE response: does it offer raw mode? And writes into a copy that it does not. */
bool raw1_offered(const uint8_t *msg, const struct block1 *b);
void raw1_withdraw(uint8_t *msg, const struct block1 *b);

/* Bytes of a message that raw1_may_ask() needs at most. */
#define RAW1_PEEK_LEN 63

/* May it be a request for either? p: the first RAW1_PEEK_LEN bytes of a message, or all of it. */
bool raw1_may_ask(const uint8_t *p, size_t n);

/*
 * Is the block a request for either? And writes into a copy what no node knows: a FID, so that it
 * answers READ_RAW with a message of no bytes and WRITE_RAW with an error, [MS-CIFS] 3.3.5.18 and
 * 3.3.5.21; or a level of information. 0: it is none, else the place of that word.
 */
size_t raw1_asked(const uint8_t *msg, size_t len, const struct block1 *b);
void raw1_refuse(uint8_t *msg, size_t at);

#endif
