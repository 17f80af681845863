/* compress.h: messages that come compressed, [MS-SMB2] 2.2.42, and what is in them */
#ifndef SMB_COMPRESS_H
#define SMB_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* None is shorter. */
#define COMPRESS_MIN_LEN 16
/* So many bytes of one show the head of what is in it, as compressors write it. */
#define COMPRESS_PEEK_LEN 512

/*
 * What is in a compressed message that begins at p, with its header: how long it says that it is,
 * or 0: it is no such message. chained: both ends can chain, or else only p that is not chained is
 * one.
 */
size_t compress_len(bool chained, const uint8_t *p, size_t n);

/*
 * Its first max bytes, as far as they can be had of the n bytes at p: how many. All that there is,
 * if it is as many as compress_len() says.
 */
size_t compress_open(bool chained, const uint8_t *p, size_t n, uint8_t *out, size_t max);

#endif
