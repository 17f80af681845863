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
 *	substitute  an ECHO goes in its place        our list, signed or sealed once
 *	lift        goes on sealed, unsigned         sealed; our list, signed once
 *	re-sign     goes on signed (CMAC, HMAC)      our list, signed anew
 *	re-seal     goes on sealed                   our list, sealed anew with a fresh nonce
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
	bool keyed;		/* the channel's key is known */
	bool by_gmac;		/* keyed: it signs with AES-GMAC */
	bool cipher;		/* keyed: both ends agreed on one */
	bool alone;		/* in its frame */
	bool liftable;		/* every message of its frame can be lifted with it */
	bool listed;		/* the node would answer with a list */
};

/* Pure. Never WAY_NONE or WAY_MALFORMED. */
enum query_way query_choose(const struct query_facts *f);

/* Chooses the way of every query in a frame of the client's; f->lift where one is lifted. */
void query_ways(struct mediate *m, struct frame *f);

/* A request whose way was chosen; PASS where it is no query. */
struct decision query_request(const struct mediate *m, const struct frame *f,
    const struct message *msg);

/*
 * The answer to a query, by the way that was chosen for it; of the node, or of the ECHO that stood
 * in for it. list is room for what the decision says.
 */
struct decision query_answer(const struct mediate *m, const struct frame *f,
    const struct message *msg, const struct pending *asked, struct ifinfo list[IFINFO_MAX]);

#endif
