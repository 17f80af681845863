/* smb1.h: a connection that speaks SMB1: its logons, and the VcNumber in them */
#ifndef INSPECT_SMB1_H
#define INSPECT_SMB1_H

#include <stddef.h>
#include <stdint.h>

#include "inspect/decision.h"
#include "inspect/verdict.h"

struct caller;
struct mediate;
struct smb1;

/*
 *	requests   SESSION_SETUP_ANDX, wherever it stands in a chain: VcNumber 0 becomes the
 *	           connection's own number, or ends it where it is signed; who logs on is noted
 *	answers    success: the client is in; what VcNumber 0 asked for is due (track.vc_reset)
 *
 * All other messages pass unseen.
 */

/* A held message, from its SMB1 header on: PASS, CLOSE, or CHANGE of every VcNumber 0 in it. */
struct decision smb1_judge(struct mediate *m, enum dir dir, const uint8_t *msg, size_t len);

/* Who the last logon was, for people. */
const struct caller *smb1_caller(const struct smb1 *s);

void smb1_free(struct smb1 **s);
/* The memory that its logons under way have; NULL: none. */
size_t smb1_size(const struct smb1 *s);

#endif
