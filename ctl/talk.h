/* talk.h: one message to many servers, and what each answers, all of them at once */
#ifndef CTL_TALK_H
#define CTL_TALK_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define TALK_MAX 2048
#define TALK_PATIENCE_MS 3000

struct talk {
	struct addrport to;
	uint8_t out[256];
	size_t nout;
	/* A message with its transport header of 4 bytes; whole if err is 0. */
	uint8_t in[TALK_MAX];
	size_t have;
	int err;		/* ETIMEDOUT, ECONNRESET: it closed, EPROTO: no SMB, and others */
	unsigned ms;		/* that the answer took */
	int fd;			/* talk.c's own, as are those below */
	size_t sent;
	int64_t since;
};

/* Has all n of them, for TALK_PATIENCE_MS each, with few hundred connections at a time. */
void talk_all(struct talk *t, size_t n);

#endif
