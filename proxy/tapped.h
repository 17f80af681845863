/* tapped.h: a connection that is captured or traced: what is told of it, and to whom */
#ifndef PROXY_TAPPED_H
#define PROXY_TAPPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/close.h"

struct conn;
struct conn_env;
struct side;
struct tap;

/*
 * Of most connections conn->tapped is false, and nothing of this is called. Everything runs
 * on the worker's thread.
 */

/* The worker has one more, or one fewer: its connections are looked at now. */
void tapped_add(struct conn_env *env, struct tap *t);
void tapped_remove(struct conn_env *env, const struct tap *t);

/* Who it is may be known by now: is it one that somebody wants? Not out of its pump. */
void tapped_match(struct conn *c);

/* Is it captured, and not only traced? */
bool tapped_copies(const struct conn *c);

/* n bytes have come from the peer of this side; or go on from this side to the other one. */
void tapped_received(const struct side *s, const uint8_t *p, size_t n);
void tapped_sent(const struct side *s, const uint8_t *p, size_t n);

/* It has its node. */
void tapped_connected(struct conn *c);
/* Its stage may be another one than before. */
void tapped_stage(const struct conn *c);
/* A decision: what it was about, one word, and what it is. */
void tapped_event(const struct conn *c, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As env->trace of inspect/env.h: arg is the connection. */
void tapped_trace(void *arg, const char *event, const char *text);

/* The connection is over. */
void tapped_end(struct conn *c, enum close_reason why);

#endif
