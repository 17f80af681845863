/* loglevel.h: how much is logged, changed by an operator, and for a while */
#ifndef DAEMON_LOGLEVEL_H
#define DAEMON_LOGLEVEL_H

#include <stdint.h>
#include <sys/types.h>

#include "base/logrecord.h"
#include "daemon/json.h"

struct ctl_env;
struct ctl_later;
struct event_base;
struct guard;
struct loglevel;
struct tlv_out;

/* On the main thread; all is borrowed, and guard may be NULL. usual: as it is now. */
struct loglevel *loglevel_new(struct event_base *base, struct guard *guard, enum log_level usual);
void loglevel_free(struct loglevel **l);

/* What an operator has said, as one process hands it to the next; nothing: that is nothing. */
void loglevel_write(struct tlv_out *o, const struct loglevel *l, uint64_t now_ms);
/* It holds here as well. 0, or -1: a bad record, and nothing has changed. */
int loglevel_read(struct loglevel *l, const void *record, size_t n)
    __attribute__((warn_unused_result));

/*
 * The request log-level, of ctl_request.c's table: {"level": "debug", "for_ms": 600000} changes it,
 * for that long where it is said; without a level it is only told.
 */
json_t *loglevel_request(const struct ctl_env *env, const json_t *request,
    struct ctl_later *later);

#endif
