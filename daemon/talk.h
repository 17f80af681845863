/* talk.h: pure: what proxies tell each other of clients that are to go */
#ifndef DAEMON_TALK_H
#define DAEMON_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/parting.h"

struct secret;

#define TALK_TOKEN 16

enum talk_kind {
	TALK_PARK = 1,		/* are they quiet with you, too? They are not to be read then */
	TALK_ANSWER,		/* these, by `busy`, are not */
	TALK_RESUME,		/* they stay */
	TALK_END,		/* they go; round: the number of the answer */
	TALK_GO,		/* they go where they are quiet still */
	TALK_ENDED,		/* TALK_END was heard */
	TALK_END_AGAIN,		/* as TALK_END, but for who has come since */
};

struct talk {
	enum talk_kind kind;
	char from[TALK_TOKEN], to[TALK_TOKEN];	/* processes; to: of answers alone */
	uint32_t round;				/* of who asks; 0: no answer is waited for */
	uint64_t at_ms;				/* when it was said, of Redis' clock */
	uint64_t number;			/* of what that process has said, from 1 on */
	uint32_t quiet_s, busy;
	uint32_t ago_ms;			/* of END_AGAIN: when it was said first */
	struct parting who;	/* with a ClientGuid alone: others are nobody else's */
};

#define TALK_KEY (STATE_KEY_CLIENT + 4)
#define TALK_TEXT (1 + 2 * TALK_TOKEN + 8 + 8 + 4 + 4 + 4 + 1 + PARTING_MAX * TALK_KEY)
#define TALK_WRAPPED (TALK_TEXT + 40)

/* -1: it cannot be wrapped, or there is no secret. */
int talk_write(const struct secret *s, const struct talk *t, uint8_t out[TALK_WRAPPED])
    __attribute__((warn_unused_result));
/* -1: nobody of the cluster has said that. */
int talk_read(const struct secret *s, const void *bytes, size_t len, struct talk *t)
    __attribute__((warn_unused_result));

/* What is older is not heard: Redis brings it at once, and gives all proxies the same clock. */
#define TALK_OLD_MS 10000
#define TALK_SEEN_MAX 64

/* The last that each of the others has said. */
struct talk_seen {
	size_t n;
	struct {
		char from[TALK_TOKEN];
		uint64_t number, at_ms;
	} of[TALK_SEEN_MAX];
};

/*
 * Whether t is said now, and for the first time: whoever can write to Redis may have kept what was
 * sealed before. now_ms: of Redis' clock.
 */
bool talk_is_new(struct talk_seen *seen, const struct talk *t, uint64_t now_ms);

#endif
