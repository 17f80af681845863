/* nbss.h: the 4-byte header in front of every SMB message on TCP */
#ifndef SMB_NBSS_H
#define SMB_NBSS_H

#include <stddef.h>
#include <stdint.h>

/* Direct TCP transport packet header, [MS-SMB2] 2.1: one zero byte, 24-bit big-endian length. */
struct nbss {
	uint8_t type;
	uint32_t len;
};

/* 0, or -1 while fewer than NBSS_HDR_LEN bytes are there. Judges nothing. */
int nbss_get(struct nbss *n, const uint8_t *p, size_t avail) __attribute__((warn_unused_result));

/* Writes the header of a message of len bytes (at most 0xffffff). */
void nbss_put(uint8_t dst[4], uint32_t len);

#endif
