/* query.h: interface queries: which way each goes, and the list that is its answer */
#ifndef INSPECT_QUERY_H
#define INSPECT_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "inspect/decision.h"
#include "inspect/track.h"
#include "policy/policy.h"
#include "smb/ifinfo.h"

struct frame;
struct mediate;
struct message;

/*
 *	            request                          answer
 *	plain       goes on                          our list instead of the node's
 *	lift        goes on sealed, unsigned         sealed; our list, signed once
 *	re-sign     goes on signed (CMAC, HMAC)      our list, signed anew
 *	re-seal     goes on sealed                   our list, sealed anew with a fresh nonce
 *	vouch       a FLUSH of no file goes in its   our list, signed once, unless the node says
 *	            place, unsigned                  that the session has ended or expired
 *	substitute  an ECHO goes in its place        our list, signed once
 *
 * The node judges: what it says of a query that it refuses is what the client is told. Only an ECHO
 * it answers whatever it thinks of the session, and smbd answers a sealed query of a session that
 * has expired; what comes sealed from a session that is over ends the connection for all who are
 * on it. So there is none of these two for a session that may be over, and nothing is lifted in
 * `announce` of a session that may have channels elsewhere. The session vouches for itself where
 * it need not sign: of one that must, the node would sign that it is not.
 *
 * Under GMAC the MessageId is the nonce of a signature: two answers signed under one MessageId give
 * the key away to whoever sees both sides. So there the node never signs an answer that we change,
 * unless the policy says gmac = resign.
 */

/* All that the way depends on. */
struct query_facts {
	enum pol_ifmode mode;	/* of announce_mode() */
	enum pol_gmac gmac;
	enum pol_unkeyed unkeyed;
	bool sealed;		/* it came encrypted, and was opened */
	bool is_signed;
	bool good;		/* its signature is that of the channel */
	bool known;		/* this connection has a channel of its session */
	bool keyed;		/* the channel's key is known */
	bool by_gmac;		/* keyed: it signs with AES-GMAC */
	bool cipher;		/* keyed: both ends agreed on one */
	bool alone;		/* in its frame */
	bool liftable;		/* every message of its frame can be lifted with it */
	bool listed;		/* the node would answer with a list */
	bool foreign;		/* plain; its answer may come under an opaque session's seal */
	bool must_sign;		/* so must all requests of its session, as far as is known */
	bool shared;		/* its session may have channels on other connections */
	bool doubted;		/* its session may be over, or its channel here */
};

/* Pure. Never WAY_NONE. */
enum query_way query_choose(const struct query_facts *f);

/* Chooses the way of every query in a frame of the client's; f->lift where one is lifted. */
void query_ways(struct mediate *m, struct frame *f);

/* A request whose way was chosen; PASS where it is no query. */
struct decision query_request(const struct frame *f, const struct message *msg);

/*
 * The answer to a query, by the way that was chosen for it; of the node, or of the ECHO that stood
 * in for it. What the client is told is what the policy says now, as far as that way allows. list
 * is room for what the decision says.
 */
struct decision query_answer(struct mediate *m, const struct frame *f,
    const struct message *msg, const struct pending *asked, struct ifinfo list[IFINFO_MAX]);

#endif
