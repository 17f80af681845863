/* tapping.h: captures and traces under way, each for one peer of the control socket */
#ifndef DAEMON_TAPPING_H
#define DAEMON_TAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/json.h"
#include "proxy/tap.h"

struct ctl_env;
struct evbuffer;
struct tapping;

/* Longer none may last. */
#define TAPPING_MAX_MS (24 * 3600 * 1000u)

/*
 * by: the user who asked. more(arg) runs, out of the loop, when there is more to pull, or when it
 * is over. NULL, with a static text: it has not begun.
 */
struct tapping *tapping_new(const struct ctl_env *env, const struct tap_want *want,
    uint64_t for_ms, uid_t by, void (*more)(void *arg), void *arg, const char **why)
    __attribute__((warn_unused_result));
/* Do all workers know of it, so that nothing is missed from here on? Or is it over? */
bool tapping_ready(const struct tapping *t);
bool tapping_is_over(const struct tapping *t);
/* Not before its time: whoever asked has gone, or wants no more. */
void tapping_stop(struct tapping *t);
/* Stops it, if it goes on. */
void tapping_free(struct tapping **t);

/*
 * What there is goes behind out: of a capture as records of base/tapmsg.h, of a trace an object of
 * JSON a line. False: that was the last.
 */
bool tapping_pull(struct tapping *t, struct evbuffer *out);

#endif
