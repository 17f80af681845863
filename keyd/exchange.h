/* exchange.h: the exchanges of one worker: which message may come when, and its answer */
#ifndef KEYD_EXCHANGE_H
#define KEYD_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "keyd/answer.h"

struct exchanges;
struct kerb;
struct keyd_keys;
struct rules;

/* The oldest goes when there are more. */
#define EXCHANGES_MAX 4096
/* No logon takes that long; a FORGET was lost. */
#define EXCHANGE_LIFE_MS (5 * 60 * 1000)
/* So many of them may wait for a newer keytab; others fail at once. */
#define EXCHANGES_WAITING_MAX 64

/* What all workers' have in common, borrowed. no_ntlm: why NTLM cannot be done here, or "". */
struct exchange_env {
	struct kerb *kerb;
	struct rules *rules;
	const char *no_ntlm;
};

/* answer() runs out of the calls below; the message is borrowed. NULL when memory is out. */
struct exchanges *exchanges_new(const struct exchange_env *env,
    void (*answer)(void *arg, const struct keymsg *m), void *arg);
void exchanges_free(struct exchanges **e);

/* A request of the worker, see keymsg.h. What its exchange does not expect ends that alone. */
void exchanges_take(struct exchanges *e, struct keyd_keys *keys, const struct keymsg *m,
    uint64_t now_ms);

/* Is there a ticket that none of the keys opened, but perhaps a newer keytab's would? */
bool exchanges_waiting(const struct exchanges *e);
/*
 * There is no newer one than this: those that wait are answered. NULL: it is the one that did not
 * open them, and is not tried again.
 */
void exchanges_retry(struct exchanges *e, struct keyd_keys *keys);

/* Drops what is too old; are there any left? */
bool exchanges_expire(struct exchanges *e, uint64_t now_ms);

#endif
