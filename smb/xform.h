/* xform.h: the TRANSFORM header in front of encrypted messages */
#ifndef SMB_XFORM_H
#define SMB_XFORM_H

#include <stddef.h>
#include <stdint.h>

struct wr;

/* SMB2 TRANSFORM_HEADER, [MS-SMB2] 2.2.41. */
struct xform {
	uint8_t signature[16];
	uint8_t nonce[16];
	uint32_t original_size;
	uint16_t flags;		/* 3.1.1: Flags; 3.0.x: EncryptionAlgorithm; 1 in both */
	uint64_t session_id;
};

/* p: at least the 52 bytes of the header. 0, or -1 when it is none. */
int xform_get(struct xform *x, const uint8_t *p, size_t n) __attribute__((warn_unused_result));

/* Appends the 52 bytes. */
void xform_put(struct wr *w, const struct xform *x);

#endif
