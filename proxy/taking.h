/* taking.h: connections come from the smbgate that ran before, and are a worker's from then on */
#ifndef PROXY_TAKING_H
#define PROXY_TAKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn_env;
struct taking;
struct tlv_out;

/* One message each: the record of a connection with its two sockets, and what is said to it. */
#define TAKING_OFFER_MAX (160 * 1024)
#define TAKING_ANSWER_MAX 128

struct taking_answer {
	uint64_t serial;	/* of the offer, from 1 on */
	char why[64];		/* it is refused; "": it is ours */
};

/* The record of the connection follows. */
void taking_offer_begin(struct tlv_out *o, uint64_t serial);
/* False: it is none. */
bool taking_answer_get(struct taking_answer *a, const void *msg, size_t n);

/* What comes by fd, which is taken over, until it ends. -1: memory is out; fd is closed. */
int taking_add(struct taking **list, struct conn_env *env, int fd)
    __attribute__((warn_unused_result));
void taking_free(struct taking **list);

#endif
