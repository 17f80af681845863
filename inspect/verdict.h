/* verdict.h: what is to become of a frame: the words between the pump and inspect/ */
#ifndef INSPECT_VERDICT_H
#define INSPECT_VERDICT_H

#include <stddef.h>
#include <stdint.h>

#include "stats/close.h"

enum dir { C2S, S2C };

/*
 * Asked on the head of a frame, and again on the head of a later part where only a stretch of the
 * frame was passed.
 *   MORE   n bytes are needed from here on to judge (more than there were)
 *   PASS   the next n bytes go on unseen; the rest of the frame, if any, is asked about again
 *   HOLD   the next n bytes, a whole frame or a part of it, are to be collected and shown
 *   PARTS  classify() alone: the frame is for parts.c, which says one of the others
 *   CLOSE  the connection ends for the reason `why`
 */
enum verdict_act { VERDICT_MORE, VERDICT_PASS, VERDICT_HOLD, VERDICT_PARTS, VERDICT_CLOSE };

struct verdict {
	enum verdict_act act;
	uint32_t n;
	uint32_t frame;		/* of the first verdict of a frame: its length, header included */
	enum close_reason why;
};

/*
 * What became of a held frame, or of the part of one.
 *   PASS     it goes on as it is
 *   REPLACE  bytes[0..len) go on instead (they stay valid until the next held frame)
 *   DROP     it was consumed
 *   WAIT     not yet: the direction stands still until pump_resume(), then it is shown again
 *   CLOSE    as above
 */
enum outcome_act { OUTCOME_PASS, OUTCOME_REPLACE, OUTCOME_DROP, OUTCOME_WAIT, OUTCOME_CLOSE };

struct outcome {
	enum outcome_act act;
	const uint8_t *bytes;
	size_t len;
	enum close_reason why;
};

#endif
