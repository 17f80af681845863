/* pump.h: one direction of a connection: frames in, verdicts, bytes out; knows no sockets */
#ifndef PROXY_PUMP_H
#define PROXY_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "inspect/verdict.h"

/*
 *	feed ──► head of a frame ──► verdict ──┬─ PASS n ─────────────────────► send
 *	                                       └─ HOLD ─► whole ─► outcome ──► send (or other bytes)
 *
 * A verdict is asked once on the head of a frame; then bytes move without another thought. What
 * cannot be judged yet (a partial head, a held frame that is not whole, whatever stands behind a
 * frame that waits) stays in `in`, which is empty, and owns nothing, whenever a frame has ended.
 */
struct pump_ops {
	/* p is the transport header; avail >= 1. */
	struct verdict (*head)(void *arg, const uint8_t *p, size_t avail);
	/* p is inside a frame that was passed, or held, up to it; left bytes of it remain. */
	struct verdict (*part)(void *arg, const uint8_t *p, size_t avail, size_t left);
	/* A whole frame, transport header included, or what of one a verdict wanted held. */
	struct outcome (*held)(void *arg, const uint8_t *frame, size_t len);
	/* Takes all n bytes, or returns -1 and the pump stops at once. */
	int (*send)(void *arg, const uint8_t *p, size_t n);
};

struct pump {
	struct buf in;
	uint32_t pass;		/* bytes that go on unseen */
	uint32_t left;		/* bytes of this frame behind those */
	uint32_t need;		/* bytes that must be in `in` before it is worth looking again */
	bool waiting;		/* a held frame waits for pump_resume() */
};

enum pump_result {
	PUMP_OK,
	PUMP_CLOSE,		/* *why is set */
	PUMP_SEND,		/* ops->send failed */
};

/*
 * Takes bytes as they come, in any cut. Not to be called while waiting. The pump may be freed by
 * nobody during the call.
 */
enum pump_result pump_feed(struct pump *p, const struct pump_ops *ops, void *arg,
    const uint8_t *data, size_t n, enum close_reason *why);

/* Shows the frame that waits again and goes on behind it. */
enum pump_result pump_resume(struct pump *p, const struct pump_ops *ops, void *arg,
    enum close_reason *why);

/*
 * Where the next bytes may be received directly because a held frame or a head is incomplete: room
 * for *n bytes behind what is there, or NULL with *n = 0 when the pump keeps nothing (then any
 * memory will do: pump_feed()) or memory is out (*n = SIZE_MAX). Follow with pump_received().
 */
uint8_t *pump_room(struct pump *p, size_t *n);
enum pump_result pump_received(struct pump *p, const struct pump_ops *ops, void *arg, size_t n,
    enum close_reason *why);

/*
 * Bytes that go on unseen and that nothing stands before, 0 if there are none: n of them may be
 * moved past the pump, which is told with pump_moved().
 */
size_t pump_owed(const struct pump *p);
void pump_moved(struct pump *p, size_t n);

/* True between frames: nothing is kept and nothing is owed. */
bool pump_idle(const struct pump *p);
void pump_fini(struct pump *p);

#endif
