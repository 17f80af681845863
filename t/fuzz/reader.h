/* reader.h: a second reader of frames, in smbd's manner; no code of inspect/ or smb/ */
#ifndef T_FUZZ_READER_H
#define T_FUZZ_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message as its receiver takes it. */
struct read_msg {
	uint8_t *p;		/* from its SMB2 header on, in the clear */
	size_t n;		/* to where the next one begins */
	uint64_t sealed_by;	/* SessionId of the TRANSFORM header that it came under; 0: none */
	uint16_t command;
	uint32_t status;
	uint32_t flags;
	uint32_t next;
	uint64_t mid;
	uint64_t sid;		/* as written: a related message belongs to the one before */
};

/* Opens what is sealed, TRANSFORM header first, in place of the body. 0, or -1. */
typedef int (*reader_open_fn)(void *arg, uint64_t sid, uint8_t *frame, size_t len);

/*
 * Takes a frame apart, from behind its transport header on. The number of messages, or -1: the
 * receiver refuses the frame, acts on nothing in it and ends the connection.
 */
int reader_frame(uint8_t *frame, size_t len, reader_open_fn open, void *arg, struct read_msg *m,
    int max);

uint16_t reader_u16(const uint8_t *p);
uint32_t reader_u32(const uint8_t *p);
uint64_t reader_u64(const uint8_t *p);

/* Is it a bind that the receiver would act on, [MS-SMB2] 2.2.5? */
bool reader_is_bind(const struct read_msg *m);

/* The CtlCode of an IOCTL, request or answer with success; 0: none. */
uint32_t reader_ctl_code(const struct read_msg *m);

/* Does an IOCTL answer's output name the IPv4 address, [MS-SMB2] 2.2.32.5? */
bool reader_names(const struct read_msg *m, const uint8_t addr[4]);

#endif
