/* carry.h: carries decisions out: pending requests, stand-ins, signatures, seals, the new frame */
#ifndef INSPECT_CARRY_H
#define INSPECT_CARRY_H

#include <stddef.h>
#include <stdint.h>

#include "inspect/decision.h"
#include "inspect/verdict.h"

struct frame;
struct mediate;
struct message;

/* The command that the node was sent: what the client asked, or what stands in for it. */
uint16_t carry_sent(const struct pending *asked);

/*
 * PASS: done, and on with the next message of the frame, which ends with frame_finish(); anything
 * else is what becomes of the whole frame.
 */
struct outcome carry_request(struct mediate *m, struct frame *f, const struct message *msg,
    const struct decision *d);

/* asked: what the answer belongs to. */
struct outcome carry_answer(struct mediate *m, struct frame *f, const struct message *msg,
    const struct pending *asked, const struct decision *d);

/* A whole frame of SMB1, transport header included. */
struct outcome carry_smb1(struct mediate *m, const uint8_t *frame, size_t len,
    const struct decision *d);

#endif
