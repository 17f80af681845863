/* nbss.h: the 4-byte header in front of every SMB message on TCP */
#ifndef SMB_NBSS_H
#define SMB_NBSS_H

#include <stddef.h>
#include <stdint.h>

struct wr;

/*
 * Direct TCP transport packet header, [MS-SMB2] 2.1: one zero byte, 24-bit big-endian length.
 *
 * RFC 1002 4.3.1, port 139, calls the upper 7 bits of that length reserved and zero. They are
 * lengths here on every port: smbclient believes a node that is reached by direct TCP, and that has
 * therefore offered more, and sends and takes frames of 8 MiB on port 139 too. NEGOTIATE, which
 * offers it, may not be altered. Where the bits are zero both readings are one; a client that keeps
 * to 17 bits asks for nothing that needs more ([MS-SMB2] 3.2.5.2: only on direct TCP). Where they
 * are not, client, smbgate and node must read them alike, or they would see different frames.
 */
struct nbss {
	uint8_t type;
	uint32_t len;
};

/* 0, or -1 while fewer than NBSS_HDR_LEN bytes are there. Judges nothing. */
int nbss_get(struct nbss *n, const uint8_t *p, size_t avail) __attribute__((warn_unused_result));

/* Writes the header of a message of len bytes (at most 0xffffff). */
void nbss_put(uint8_t dst[4], uint32_t len);

/* Of a frame that is written from the start of w on: room for its header, and the header itself. */
void nbss_begin(struct wr *w);
void nbss_end(struct wr *w);

#endif
