/* chantab.h: the channels of one connection, by SessionId */
#ifndef INSPECT_CHANTAB_H
#define INSPECT_CHANTAB_H

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct sesstab;

/*
 * Mostly one, or a few: then it is one list, and no memory beside. A terminal server has thousands
 * on its connection. Buckets are chained by channel_next(). All zeros: empty.
 */
struct chantab {
	uint16_t n;			/* TRACK_SESSIONS_MAX at most */
	uint16_t mask;			/* buckets - 1 */
	union {
		struct channel *one;	/* mask 0 */
		struct channel **many;
	} buckets;
};

/* NULL: not there. */
struct channel *chantab_find(const struct chantab *t, uint64_t session_id);
/* The newest of a number is found first. Cannot fail: without memory the lists get longer. */
void chantab_add(struct chantab *t, struct channel *c);
/* Any; NULL: it is empty. */
struct channel *chantab_first(const struct chantab *t);
/* Of f(arg, c) over all. */
uint64_t chantab_sum(const struct chantab *t,
    unsigned (*f)(struct sesstab *arg, const struct channel *c), struct sesstab *arg);
/* Does it have one that is so? */
bool chantab_has(const struct chantab *t, bool (*so)(const void *arg, const struct channel *c),
    const void *arg);
/* Takes it out; NULL: not there. */
struct channel *chantab_take(struct chantab *t, uint64_t session_id);
/* Takes any out; NULL: it is empty. */
struct channel *chantab_any(struct chantab *t);
/* Takes all out that are so: a list by channel_next(). */
struct channel *chantab_sift(struct chantab *t, bool (*so)(const struct channel *c));

#endif
