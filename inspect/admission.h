/* admission.h: pure: which dialects, logons, binds and sessions the policy lets in */
#ifndef INSPECT_ADMISSION_H
#define INSPECT_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "inspect/decision.h"
#include "inspect/mech.h"
#include "policy/policy.h"

struct crypt;
struct message;
struct session_info;
struct smbkeys;
struct token;

/* Each says PASS where the policy has nothing against it. */

/* The dialect that the node has chosen: PASS or CLOSE. */
struct decision admission_dialect(const struct pol_auth *auth, uint16_t dialect);

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

/* Does the policy let in only those logons that were read? */
bool admission_picks(const struct pol_auth *auth);

/*
 * A logon before it goes to the node, by its token and what it has said with it: PASS or REFUSE.
 * Where some are refused, those are let in that were read to be others.
 */
struct decision admission_token(const struct pol_auth *auth, const struct token *t, enum mech mech);

/*
 * The same when the node has said yes to it: PASS or CLOSE, for a success is never swallowed. Here
 * end those whom the node calls guests, and what it has understood and we have not.
 */
struct decision admission_logon(const struct pol_auth *auth, const struct session_info *si,
    enum mech mech);

/* The session of a logon that was let in, once it is known whether it has keys: PASS or CLOSE. */
struct decision admission_session(const struct policy *p, const struct session_info *si);

#endif
