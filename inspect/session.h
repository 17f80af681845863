/* session.h: the table of sessions and their channels, shared by all workers */
#ifndef INSPECT_SESSION_H
#define INSPECT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/session_info.h"

struct node;
struct sesstab;
struct channel;
struct signkey;
struct smbkeys;

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
