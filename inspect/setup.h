/* setup.h: NEGOTIATE, SESSION_SETUP and LOGOFF as they pass: who may enter, and with which keys */
#ifndef INSPECT_SETUP_H
#define INSPECT_SETUP_H

#include <stdint.h>

#include "stats/close.h"

struct channel;
struct mediate;
struct message;
struct node;
struct pending;
struct smbkeys;
struct view;

/* Each returns 0, or -1 with the reason for which the connection ends. */
int setup_negotiate_req(struct mediate *m, struct view *v, const struct message *msg,
    enum close_reason *why) __attribute__((warn_unused_result));
int setup_negotiate_resp(struct mediate *m, const struct message *msg, enum close_reason *why)
    __attribute__((warn_unused_result));

/* Notes a logon, a reauthentication or a bind, or refuses it. */
int setup_session_req(struct mediate *m, struct view *v, const struct message *msg,
    enum close_reason *why) __attribute__((warn_unused_result));
/* v->wait is set where the key is still being asked for. */
int setup_session_resp(struct mediate *m, struct view *v, const struct message *msg,
    const struct pending *asked, enum close_reason *why) __attribute__((warn_unused_result));

/* A reference to the keys of a session, here or with another proxy; as sesstab_keys(). */
struct smbkeys *setup_session_keys(struct mediate *m, uint64_t session_id,
    const struct node *node);

/* The connection leaves a session. Clears the caller's pointer. */
void setup_leave(struct mediate *m, struct channel **c);

void setup_logoff_resp(struct mediate *m, const struct message *msg, const struct pending *asked);

#endif
