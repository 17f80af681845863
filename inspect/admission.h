/* admission.h: pure: which dialects, logons, binds and sessions the policy lets in */
#ifndef INSPECT_ADMISSION_H
#define INSPECT_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "inspect/decision.h"
#include "policy/policy.h"

struct crypt;
struct message;
struct session_info;
struct smbkeys;
struct token;

/* Each says PASS where the policy has nothing against it. */

/* The dialect that the node has chosen: PASS or CLOSE. */
struct decision admission_dialect(const struct policy *p, uint16_t dialect);

/*
 * May this bind go to the node? PASS or REFUSE: answers, not cuts. dialled: the address that the
 * client came by; elsewhere: the session is known, and not on this connection's node.
 */
struct decision admission_bind(const struct policy *p, const struct addr *dialled, bool elsewhere);

/*
 * Is the bind's request signed as it must be, [MS-SMB2] 3.3.5.5.2: with the key of the session and
 * this connection's algorithm? Then its refusal is signed too, so that the client believes it.
 * session NULL: its keys are not known.
 */
bool admission_bind_signed(struct crypt *c, const struct smbkeys *session, uint16_t alg,
    const struct message *msg);

/* The token of a logon, before it goes to the node: PASS or REFUSE. */
struct decision admission_token(const struct policy *p, const struct token *t);

/*
 * A session to which the node has said yes: PASS or CLOSE, for a success is never swallowed.
 * compression: it was negotiated; mode: of announce_mode().
 */
struct decision admission_session(const struct policy *p, const struct session_info *si,
    bool compression, enum pol_ifmode mode);

#endif
