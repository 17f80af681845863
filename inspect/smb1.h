/* smb1.h: a connection that speaks SMB1: its logons, and the VcNumber in them */
#ifndef INSPECT_SMB1_H
#define INSPECT_SMB1_H

#include <stddef.h>
#include <stdint.h>

#include "inspect/decision.h"
#include "inspect/verdict.h"

struct mediate;
struct smb1;

/*
 *	requests   SESSION_SETUP_ANDX, wherever it stands in a chain: VcNumber 0 becomes the
 *	           connection's own number; who logs on is noted
 *	answers    success: the client is in; what VcNumber 0 asked for is due (track.vc_reset)
 *
 * All other messages pass unseen.
 */

/* A held message, from its SMB1 header on: PASS, CLOSE, or CHANGE of every VcNumber 0 in it. */
struct decision smb1_judge(struct mediate *m, enum dir dir, const uint8_t *msg, size_t len);

void smb1_free(struct smb1 **s);

#endif
