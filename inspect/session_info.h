/* session_info.h: the facts of one session and of its channels, as they are shown */
#ifndef INSPECT_SESSION_INFO_H
#define INSPECT_SESSION_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/guid.h"

struct caller;
struct node;
struct query_seen;

/* What became of the last interface query of a session. */
enum query_result {
	QUERY_NEVER,		/* there was none */
	QUERY_OURS,		/* answered with smbgate's list */
	QUERY_NODES,		/* the node's own, by policy */
	QUERY_OPAQUE,		/* the node's own: protected, and smbgate has no key */
	QUERY_GMAC,		/* the node's own: GMAC leaves no way, and policy lets it pass */
	QUERY_REFUSED,		/* nothing: GMAC leaves no way, and policy refuses */
	QUERY_ERROR,		/* the node refused the query */
};

/* In words, as operators are shown it: the value of the key "told". */
const char *query_result_str(enum query_result r);

/* Names and reasons are for people: what is longer is cut. */
#define SESSION_TEXT_MAX 128

/* The facts of one session, copied out for show. What it points to is only lent. */
struct session_info {
	const struct node *node;
	uint64_t session_id;
	uint16_t dialect;
	uint16_t cipher, signing;
	bool guest, anonymous, sealed, signing_required;
	bool client_multichannel, node_multichannel;	/* as said in NEGOTIATE */
	bool keyed;				/* smbgate has the session's keys */
	uint8_t how;				/* enum caller_how */
	uint8_t query;				/* enum query_result */
	uint8_t cause;				/* enum nokey_cause, of one that is opaque */
	const char *opaque_because;	/* why not; NULL where there is nothing to have */
	const char *principal;		/* who logged on; NULL where that is not known */
	const struct caller *by;	/* as the client says; NULL: it has given no name */
	struct guid client_guid;
	uint64_t since_ms;
	const struct query_seen *asked;	/* NULL: for the server's interfaces, never */
};

/* May its messages be seen, and changed? */
enum session_protection {
	SESSION_KEYED,		/* protected, and smbgate has the key */
	SESSION_UNSIGNED,
	SESSION_OPAQUE,		/* protected, and smbgate has no key */
	SESSION_PROTECTIONS
};

/* Who logged on, as far as that is known, or as the client said; NULL: not known. */
const char *session_info_user(const struct session_info *si);

/* May there be another channel, perhaps through another proxy? [MS-SMB2] 3.3.5.5. */
bool session_may_be_bound(const struct session_info *si);

enum session_protection session_protection(const struct session_info *si);
/* keyed, unsigned, opaque: the value of the key "protection". */
const char *session_protection_str(enum session_protection p);

/* How many there are of one node. */
struct session_tally {
	const struct node *node;
	uint64_t sessions[SESSION_PROTECTIONS], channels[SESSION_PROTECTIONS];
	uint64_t files;		/* that are seen to be open */
};

/* The client's connection that is a channel. */
struct channel_ends {
	uint64_t conn_id;
	struct addrport client;
	struct addrport local;	/* that the client dialled */
	bool intercept;		/* a node's own, therefore */
	const char *listener;	/* its name; borrowed for good */
};

/* One channel: a connection that has logged on to, or bound itself to, a session. */
struct channel_info {
	struct channel_ends ends;
	bool bound;		/* a further channel */
};

/*
 * Makes what it points to its own, texts cut where they are too long, and takes a reference to the
 * node; what memory is out for is left out. Undone by session_info_fini().
 */
void session_info_own(struct session_info *si);
void session_info_fini(struct session_info *si);

/* Each takes the place of what was there, of facts that are owned. */
void session_info_opaque(struct session_info *si, const char *because);
/* Takes seen over, and counts it. NULL: memory was out, and what there was stays. */
void session_info_query(struct session_info *si, enum query_result query,
    struct query_seen *seen);

#endif
