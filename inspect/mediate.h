/* mediate.h: a held frame is taken apart, judged, and what is decided is carried out */
#ifndef INSPECT_MEDIATE_H
#define INSPECT_MEDIATE_H

#include <stddef.h>
#include <stdint.h>

#include "inspect/env.h"
#include "inspect/verdict.h"

/*
 * wake(arg) runs, from the loop, when a frame that had to wait for keys need not wait any more. m
 * is not to be moved.
 */
void mediate_init(struct mediate *m, struct mediate_env *env, const char *listener,
    const struct channel_ends *self, void (*wake)(void *arg), void *arg);
/* Leaves all sessions. */
void mediate_fini(struct mediate *m);

/* The verdict on the head of a frame of a connection that has its node, as classify(). */
struct verdict mediate_head(struct mediate *m, enum dir dir, const uint8_t *p, size_t avail);

/* A whole frame, transport header included, that classify() wanted held. */
struct outcome mediate_held(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len);

#endif
