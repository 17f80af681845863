/* command.h: what is asked and asserted of claims, as the arguments of scripts */
#ifndef STATE_COMMAND_H
#define STATE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/link.h"
#include "state/shared.h"

struct facts_item;

/* Claims or facts in one call, at most. */
#define ASSERT_MAX 64

/* Each returns as link_ask() does. deadline_ms: in Redis' time. */
uint64_t command_claim(struct link *l, struct shared *m, const struct shared_request *q,
    const struct record *bad, uint64_t deadline_ms, link_reply_f cb, void *arg);
uint64_t command_move(struct link *l, struct shared *m, const struct shared_request *q,
    const struct record *old, int64_t linger_ms, uint64_t deadline_ms, link_reply_f cb, void *arg);
uint64_t command_assert(struct link *l, struct shared *m, const struct shared_item *it, size_t n,
    link_reply_f cb, void *arg);
uint64_t command_release(struct link *l, struct shared *m, const struct shared_item *it,
    int64_t linger_ms);
uint64_t command_facts(struct link *l, struct shared *m, const struct facts_item *it, size_t n,
    link_reply_f cb, void *arg);

enum command_result { COMMAND_GOOD, COMMAND_LATE, COMMAND_BAD_VALUE, COMMAND_NONSENSE };

/* The answer of CLAIM and MOVE. BAD_VALUE: *bad is the record that the claim has. */
enum command_result command_answer(struct link *l, struct shared *m, const struct shared_request *q,
    const struct redisReply *r, struct shared_answer *a, struct record *bad);
/* ASSERT's answer for these items; NULL: none. Calls lost() for every claim that is lost. */
void command_asserted(struct link *l, struct shared *m, const struct shared_item *it, size_t n,
    const struct redisReply *r, void (*lost)(void *arg, const struct state_key *key), void *arg);

/* Milliseconds of Redis' clock, or of ours while nothing is known of that. */
uint64_t command_time(const struct link *l);

#endif
