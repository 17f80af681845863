/* mediate.h: a held frame is taken apart, judged, and what is decided is carried out */
#ifndef INSPECT_MEDIATE_H
#define INSPECT_MEDIATE_H

#include <stddef.h>
#include <stdint.h>

#include "inspect/env.h"
#include "inspect/verdict.h"

/*
 * env->wake(arg, dir) runs, from the loop, when a frame of that direction that had to wait may be
 * shown again; it may have to wait on. m is not to be moved.
 */
void mediate_init(struct mediate *m, struct mediate_env *env, const char *listener,
    const struct channel_ends *self, void *arg);
/* Leaves all sessions. */
void mediate_fini(struct mediate *m);
/* The memory that logons under way and unanswered requests have. */
size_t mediate_size(const struct mediate *m);

/* Once a second: what nobody will come back for is forgotten. */
void mediate_tick(struct mediate *m, uint64_t now_ms);

/* The verdict on the head of a frame of a connection that has its node, as classify(). */
struct verdict mediate_head(struct mediate *m, enum dir dir, const uint8_t *p, size_t avail);

/* The same of a later part of a frame that passes part by part; left bytes of it remain. */
struct verdict mediate_part(struct mediate *m, enum dir dir, const uint8_t *p, size_t avail,
    size_t left);

/* A whole frame, transport header included, or a part of one, that was wanted held. */
struct outcome mediate_held(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len);

#endif
