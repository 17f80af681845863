/* session_over.h: the one place where a connection learns that a session is over */
#ifndef INSPECT_SESSION_OVER_H
#define INSPECT_SESSION_OVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;
struct mediate;
struct session_info;

/*
 * What says that a session is over, and for whom it is then over:
 *
 *	LOGOFF answered with success	every channel	session_over()
 *	the node gives its number anew	every channel	session_renumbered()
 *	STATUS_USER_SESSION_DELETED	every channel	session_said()
 *	  where a bind was refused	that channel	the same
 *	PreviousSessionId, same user	every channel	session_replaced()
 *	its last channel is gone	-		session_leave()
 *	reauthentication fails		every channel	session_setup_failed()
 *	another status of that		nobody yet	the same
 *	another proxy says so		every channel	ended_heard()
 *
 * Its row is gone at once, and its keys are wiped; another connection gives up its channel with
 * the next tick. That a session has expired is not among them: it can be reauthenticated, and has
 * the same keys then, [MS-SMB2] 3.3.5.5.2. Where a SESSION_SETUP on it fails otherwise than by the
 * authentication itself, it may live or not. Such a session is in doubt, and so is an expired one:
 * its keys stay, and until the node has answered in its name nothing goes out in its name that the
 * client has not said, but whether it lives. (smbd answers a sealed query of an expired session.)
 */
void session_over(struct mediate *m, uint64_t session_id);
void session_renumbered(struct mediate *m, uint64_t session_id);

/*
 * The connection's channel of that session, or NULL. One whose session has ended elsewhere is given
 * up, for the number is to be another session's.
 */
struct channel *session_here(struct mediate *m, uint64_t session_id);

/* The head of a frame of the node's, behind the transport header: does it say something of that? */
void session_said(struct mediate *m, const uint8_t *p, size_t avail);

/* The node has let si in, whose SESSION_SETUP named `previous`. */
void session_replaced(struct mediate *m, uint64_t previous, const struct session_info *si);

/* The node has failed a SESSION_SETUP, no bind, on that session: [MS-SMB2] 3.3.5.5.3. */
void session_setup_failed(struct mediate *m, uint64_t session_id, uint32_t status);

/* It has failed a bind to that session. */
void session_bind_failed(struct mediate *m, uint64_t session_id);

/* One has gone well: c is the connection's channel of its session, in the place of any other. */
void session_joined(struct mediate *m, struct channel *c);

/* One goes out, or has gone well so far. A session that is no channel here is nobody's. */
void session_doubt(struct mediate *m, uint64_t session_id, bool doubted);

/* The connection leaves a session. Clears the caller's pointer. */
void session_leave(struct mediate *m, struct channel **c);

/* Is there room for one more channel? Sessions that are opaque, or in doubt, make it. */
bool session_room(struct mediate *m);

/* Gives up channels whose sessions have ended elsewhere; to be called now and then. */
void session_sweep(struct mediate *m);

/* Is there one to give up? */
bool session_stale(const struct mediate *m);

#endif
