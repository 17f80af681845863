/* audit.h: logons, binds and logoffs, each a line of the log: who, how, and with which status */
#ifndef INSPECT_AUDIT_H
#define INSPECT_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

struct caller;
struct decision;
struct mediate;
struct session_info;

/* The node has let somebody in. again: to a session that they had. */
void audit_logon(const struct mediate *m, const struct session_info *si, bool again);
/* The same of a further channel. */
void audit_bind(const struct mediate *m, const struct session_info *si);
/* And over SMB1. by NULL: nothing is known of them. */
void audit_logon1(const struct mediate *m, const struct caller *by, bool guest);

/* The node has not, nor bound a channel. session_id 0: there is none. */
void audit_failed(const struct mediate *m, const struct caller *by, uint64_t session_id,
    bool binding, uint32_t status);

/* The policy does not let them try. */
void audit_refused(const struct mediate *m, const struct caller *by, uint64_t session_id,
    const struct decision *d);

void audit_logoff(const struct mediate *m, uint64_t session_id);

#endif
