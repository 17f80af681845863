/* shown.h: the first message that shows how a session without a key is protected */
#ifndef INSPECT_SHOWN_H
#define INSPECT_SHOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/verdict.h"

struct mediate;

/*
 * Whether a session signs or encrypts is often the client's choice, and seen by its first message
 * that does: from then on the session is shown as opaque. Where policy wants every session seen,
 * the connection ends there. Asked while track.bare is set.
 */

/* A message of the client's, signed or sealed: may it pass? */
bool shown_message(struct mediate *m, uint64_t session_id, bool sealed);

/*
 * v is the verdict on a message of the client's, which begins at p: the same, or CLOSE. session_id:
 * of a related message, whose own is not written in it; 0: it says so itself.
 */
struct verdict shown_head(struct mediate *m, struct verdict v, uint64_t session_id,
    const uint8_t *p, size_t avail);

#endif
