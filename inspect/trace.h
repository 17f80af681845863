/* trace.h: what is decided of a held message, in words, for who traces its connection */
#ifndef INSPECT_TRACE_H
#define INSPECT_TRACE_H

#include "inspect/decision.h"
#include "inspect/env.h"
#include "inspect/frame.h"

/* All of it is for m->traced alone. */

/* A request of the client's, and what becomes of it. */
void trace_request(const struct mediate *m, const struct message *msg, const struct decision *d);
/* The final answer to what was asked, and what becomes of it. */
void trace_answer(const struct mediate *m, const struct message *msg, const struct pending *asked,
    const struct decision *d);
/* A session that was opened, or a channel that was bound to it. */
void trace_session(const struct mediate *m, const struct session_info *si, bool bound);

#endif
