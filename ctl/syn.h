/* syn.h: does somebody answer there? connections from any address, all of them at once */
#ifndef CTL_SYN_H
#define CTL_SYN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

struct syn {
	struct addrport to;
	struct addr from;		/* that the packet is to have, not one of ours */
	bool as_client;			/* from is given; needs CAP_NET_RAW */
	int err;			/* 0: answered; else why not: ETIMEDOUT and others */
	int fd;
};

/* Tries all n of them, for two seconds at most, and resets what was made. */
void syn_all(struct syn *s, size_t n);

#endif
