/* session.h: the table of sessions and their channels, shared by all workers */
#ifndef INSPECT_SESSION_H
#define INSPECT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/guid.h"
#include "smb/ifinfo.h"

struct node;
struct sesstab;
struct channel;
struct signkey;
struct smbkeys;

/* How many addresses of the last list are remembered for people to look at. */
#define SESSION_LIST_MAX 16

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
	const char *opaque_because;	/* why not; NULL where there is nothing to have */
	const char *principal;		/* who logged on; NULL where that is not known */
	struct guid client_guid;
	uint64_t since_ms;
	enum query_result query;
	unsigned nlist;
	const struct ifinfo *list;	/* nlist of them */
};

/* The client's connection that is a channel. */
struct channel_ends {
	uint64_t conn_id;
	struct addrport client;
	struct addrport local;	/* that the client dialled */
};

/* One channel: a connection that has logged on to, or bound itself to, a session. */
struct channel_info {
	struct channel_ends ends;
	bool bound;		/* a further channel */
};

struct sesstab *sesstab_new(void);
void sesstab_free(struct sesstab **t);

/*
 * A SESSION_SETUP succeeded: the connection is a channel of the session si->session_id on
 * si->node; both are made if new. ends is borrowed, and the node must stay referenced, until
 * channel_leave(). NULL when memory is out. Reauthentication is not for here: the channel exists
 * already. keys are those of the session if this is its first channel, signing is the channel's
 * own; NULL: not known.
 */
struct channel *sesstab_join(struct sesstab *t, const struct session_info *si,
    const struct channel_ends *ends, bool bound, struct smbkeys *keys,
    const struct signkey *signing);

/*
 * The channel is gone; with the last one the session: true, unless it had been logged off. Clears
 * the caller's pointer.
 */
bool channel_leave(struct sesstab *t, struct channel **c);

/* LOGOFF succeeded on this channel: the session is found no more; its channels leave later. */
void channel_logoff(struct sesstab *t, struct channel *c);

uint64_t channel_session_id(const struct channel *c);

/* The next one in the list of whoever has it, who sets this: a connection has few channels. */
struct channel **channel_next(struct channel *c);

/*
 * The keys of the session and of this channel, or NULL: it is opaque. Both or none. For the
 * channel's own thread.
 */
struct smbkeys *channel_keys(const struct channel *c);
const struct signkey *channel_signing(const struct channel *c);

/* The keys have proved wrong: they are forgotten for this channel, and the reason is shown. */
void channel_opaque(struct sesstab *t, struct channel *c, const char *because);

/*
 * A reference to the keys of a session, or NULL; node NULL: wherever it lives, if that is one
 * place.
 */
struct smbkeys *sesstab_keys(struct sesstab *t, uint64_t session_id, const struct node *node);

/* Remembers what became of an interface query; n may exceed SESSION_LIST_MAX. */
void channel_query_result(struct sesstab *t, struct channel *c, enum query_result query,
    const struct ifinfo *list, size_t n);

/* Is the session known? */
bool sesstab_has(struct sesstab *t, uint64_t session_id, const struct node *node);

/* Is a session of this number known, and not on this node but on another one? */
bool sesstab_elsewhere(struct sesstab *t, uint64_t session_id, const struct node *node);

/* Every session with its channels, copied out before f is called. */
void sesstab_each(struct sesstab *t, void (*f)(void *arg, const struct session_info *,
    const struct channel_info *, size_t nchannels), void *arg);

#endif
