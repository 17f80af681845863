/* unheld.h: a message that must be seen, in an encrypted frame that is too long to be held */
#ifndef INSPECT_UNHELD_H
#define INSPECT_UNHELD_H

#include "inspect/env.h"
#include "inspect/verdict.h"

struct parts;

/*
 * Judges the message that w has peeked at. Nothing vouches for a peek; but who alters a frame on
 * its way shows a message to us that its receiver will refuse with all the rest of the frame. So it
 * is enough to take note by, and never to change what is known of a session. PASS or CLOSE.
 */
struct outcome unheld(struct mediate *m, enum dir dir, const struct parts *w);

#endif
