/* ends.h: pure: what other proxies were told to end, until each of them has heard it */
#ifndef DAEMON_ENDS_H
#define DAEMON_ENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/talk.h"

/*
 * Redis brings news to whoever subscribes at that moment, and to nobody later: a proxy whose
 * subscription is being made again misses them. So each answers, and is told again until it has.
 */
struct ends;

/* The first time; then after twice as long, and so on. */
#define ENDS_AGAIN_MS 500
#define ENDS_FOR_MS 30000
/* What was told first makes room. */
#define ENDS_MAX 1024

/* NULL: memory is out. */
struct ends *ends_new(void);
void ends_free(struct ends **e);

/*
 * The n of peers are told of that now. The number that their answers have; 0: nobody is waited for,
 * for there are none, or memory is out.
 */
uint32_t ends_add(struct ends *e, const struct parting *who, const char (*peers)[TALK_TOKEN],
    size_t n, uint64_t now_ms);
void ends_heard(struct ends *e, uint32_t number, const char from[TALK_TOKEN]);

/* One that is to be told again: its number and for how long it has been told; false: none is. */
bool ends_due(struct ends *e, uint64_t now_ms, struct parting *who, uint32_t *number,
    uint32_t *ago_ms);
/* One that nobody is told again, for it was long enough; false: none. */
bool ends_given_up(struct ends *e, uint64_t now_ms, struct parting *who);
/* Is anybody waited for? */
bool ends_wait(const struct ends *e);

#endif
