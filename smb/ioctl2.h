/* ioctl2.h: the envelope of SMB2 IOCTL requests and responses */
#ifndef SMB_IOCTL2_H
#define SMB_IOCTL2_H

#include <stddef.h>
#include <stdint.h>

struct wr;
struct hdr2;

/* Bytes from the SMB2 header on that tell the CtlCode of a request or response. */
#define IOCTL2_PEEK_LEN 72
/* Length of a whole response with no output. */
#define IOCTL2_RESP_LEN 112
/* Where MaxOutputResponse of a request is. */
#define IOCTL2_MAX_OUTPUT 108

/* IOCTL request, [MS-SMB2] 2.2.31. */
struct ioctl2_req {
	uint32_t ctl_code;
	uint8_t file_id[16];
	uint32_t input_count;
	uint32_t max_output;	/* MaxOutputResponse */
	uint32_t flags;
};

/* IOCTL response, [MS-SMB2] 2.2.32. output points into the message. */
struct ioctl2_resp {
	uint32_t ctl_code;
	uint8_t file_id[16];
	uint32_t flags;
	const uint8_t *output;
	size_t output_len;
};

/*
 * The CtlCode out of the first IOCTL2_PEEK_LEN bytes of a message; 0 where fewer are there, or
 * those of an ERROR response, which has none.
 */
uint32_t ioctl2_peek(const uint8_t *msg, size_t n);

/* The MaxOutputResponse of a request, in the same way. */
uint32_t ioctl2_peek_max(const uint8_t *msg, size_t n);

/* msg: one message from its SMB2 header on. 0, or -1 when it is not well formed. */
int ioctl2_req_get(struct ioctl2_req *r, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));
int ioctl2_resp_get(struct ioctl2_resp *r, const uint8_t *msg, size_t len)
    __attribute__((warn_unused_result));

/*
 * Appends a whole response (header h, body, output_len bytes of output, which the caller appends
 * where output is NULL); no input. h->next is written as given.
 */
void ioctl2_resp_put(struct wr *w, const struct hdr2 *h, const struct ioctl2_resp *r);

#endif
