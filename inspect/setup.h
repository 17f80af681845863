/* setup.h: NEGOTIATE, SESSION_SETUP and LOGOFF as they pass: who may enter, and with which keys */
#ifndef INSPECT_SETUP_H
#define INSPECT_SETUP_H

#include <stdint.h>

#include "inspect/decision.h"

struct frame;
struct mediate;
struct message;
struct node;
struct smbkeys;

/* Requests. Each takes note of what it says of the connection, and of the logons under way. */
struct decision setup_negotiate(struct mediate *m, const struct message *msg);
/* A logon, a reauthentication or a bind. */
struct decision setup_session(struct mediate *m, const struct frame *f, const struct message *msg);

/* Their answers: PASS, or CLOSE; WAIT where the key of a logon is still being asked for. */
struct decision setup_negotiate_answer(struct mediate *m, const struct message *msg);
struct decision setup_session_answer(struct mediate *m, const struct frame *f,
    const struct message *msg, const struct pending *asked);
struct decision setup_logoff(struct mediate *m, const struct message *msg);
struct decision setup_logoff_answer(struct mediate *m, const struct message *msg,
    const struct pending *asked);

/* A reference to the keys of a session, here or with another proxy; as sesstab_keys(). */
struct smbkeys *setup_session_keys(const struct mediate *m, uint64_t session_id,
    const struct node *node);

#endif
