/* elsewhere.h: whom the other proxies have on a drained node, and whether that is all */
#ifndef DAEMON_ELSEWHERE_H
#define DAEMON_ELSEWHERE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/json.h"
#include "state/keeper.h"

struct keyhash;

/* What they say; 7 KB. */
struct elsewhere {
	bool known;		/* false: who they are is not known */
	size_t n;
	struct keeper_rest all[KEEPER_PEERS_MAX];
};

/* As proxies call an order about a node, given at when_ms of Redis' clock. */
uint64_t elsewhere_order(const struct keyhash *h, const char *node, uint64_t when_ms);

/* node: its identity. k NULL: there are no others. From any thread. */
void elsewhere_look(struct elsewhere *e, struct keeper *k, const struct keyhash *h,
    const char *node);

/*
 * What was seen of a drain up to now. A client with connections through two proxies may leave one
 * for the other, and each of them speaks of another moment: so what says that nobody is left must
 * have been said after the last one that was seen. All zero at first.
 */
struct elsewhere_seen {
	bool here, there;	/* somebody was, and nobody has said since that it is over */
	uint64_t here_ms, there_ms;	/* nobody was any more then, clock_ms() */
};

/* here: somebody is, now. To be called again and again. */
void elsewhere_note(struct elsewhere_seen *s, bool here, const struct elsewhere *e,
    uint64_t now_ms);
/* Nobody is left at proxies that say whom they have; here neither, as far as was noted. */
bool elsewhere_over(const struct elsewhere_seen *s, const struct elsewhere *e);

/* As a list, or null where it is not known who they are. */
void elsewhere_json(json_t *o, const char *key, const struct elsewhere *e);

#endif
