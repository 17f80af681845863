/* channel.h: a worker's socket in smbgate-keyd: requests in, answers out, in order */
#ifndef KEYD_CHANNEL_H
#define KEYD_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "auth/keymsg.h"

struct exchange_env;
struct exchanges;
struct keyd_keys;

/* A worker may ask so many seconds' questions at once, when many clients come back together. */
#define CHANNEL_BURST_S 5

/*
 * Nothing is read from it while it does not take its answers, nor while it has asked more than it
 * may: who asks too much waits, as do all that this worker asks for.
 */
struct channel {
	unsigned index;
	unsigned rate;			/* questions a second */
	uint64_t credit;		/* for questions, in thousandths */
	uint64_t filled_ms;
	int fd;				/* -1: closed */
	bool told;			/* the guard knows that it is */
	bool broken;			/* an answer is lost */
	const struct exchange_env *env;
	struct exchanges *exchanges;
	STAILQ_HEAD(, answer) answers;
};

/* Without a socket. rate: questions a second, from now on. */
void channel_init(struct channel *ch, unsigned index, unsigned rate, uint64_t now_ms);
/* Takes over fd, and greets. env is borrowed. -1: out of memory. */
int channel_open(struct channel *ch, const struct exchange_env *env, int fd)
    __attribute__((warn_unused_result));
/* why is logged, unless it is NULL. */
void channel_close(struct channel *ch, const char *why);

/* How long until it may ask, in ms; 0: now. */
int channel_wait(struct channel *ch, uint64_t now_ms);

/* What poll() says of it: sends, reads one request, or closes it. buf is scratch. */
void channel_serve(struct channel *ch, struct keyd_keys *keys, short got,
    uint8_t buf[KEYMSG_MAX + 1]);

#endif
