/* inherit.h: claims of the process before this one, which may still have connections */
#ifndef STATE_INHERIT_H
#define STATE_INHERIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inherit;
struct shared;
struct state;
struct tlv_out;

/*
 * The claims of this process, a list of all that connections live on; lingering: and, in a map that
 * is not shared, of those that linger, with the time that is left.
 */
void claims_write(struct tlv_out *o, struct state *s, bool lingering);

/*
 * Holds, on its thread, what the process before this one lives on, so that no client is placed
 * elsewhere meanwhile. s is borrowed. NULL: out of memory.
 */
struct inherit *inherit_new(struct state *s);
/*
 * A list, or as much of one as ends with a claim: to be followed by the rest. 0, or -1: a bad
 * record; claims before the bad one are held.
 */
int inherit_read(struct inherit *i, const void *record, size_t n)
    __attribute__((warn_unused_result));
/* The list was whole. What the list before it had, and it has not, lingers so long from now on. */
void inherit_whole(struct inherit *i, unsigned linger_ms);
size_t inherit_count(const struct inherit *i);
/* The other process is gone: what it lived on lingers so long. */
void inherit_free(struct inherit **i, unsigned linger_ms);

/* What was counted of a shared map. */
void shared_write(struct tlv_out *o, struct shared *m);
/* Adds it. 0, or -1: a bad record, of which nothing was added. */
int shared_read(struct shared *m, const void *record, size_t n) __attribute__((warn_unused_result));

/*
 * The exceptions, where Redis is out of reach and cannot be asked for them: a list, or as much of
 * one as ends with one of them. 0, or -1: a bad record; those before the bad one are known.
 */
void shared_write_exceptions(struct tlv_out *o, struct shared *m);
int shared_read_exceptions(struct shared *m, const void *record, size_t n)
    __attribute__((warn_unused_result));

#endif
