/* session.h: the table of sessions and their channels, shared by all workers */
#ifndef INSPECT_SESSION_H
#define INSPECT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/nokey.h"
#include "inspect/session_info.h"

struct node;
struct query_seen;
struct sesstab;
struct channel;
struct filter;
struct signkey;
struct smbkeys;
struct who;

struct sesstab *sesstab_new(void);
void sesstab_free(struct sesstab **t);

/*
 * A SESSION_SETUP succeeded: the connection is a channel of the session si->session_id on
 * si->node; both are made if new. Not bound: it is a new session, and one of that number is over.
 * ends is borrowed, and the node must stay referenced, until channel_leave(). NULL when memory is
 * out. Reauthentication is not for here: the channel exists already. keys are those of the session
 * if this is its first channel, signing is the channel's own; NULL: not known.
 */
struct channel *sesstab_join(struct sesstab *t, const struct session_info *si,
    const struct channel_ends *ends, bool bound, struct smbkeys *keys,
    const struct signkey *signing);

/*
 * The channel is gone; with the last one the session: true, unless that was over before. Clears the
 * caller's pointer.
 */
bool channel_leave(struct sesstab *t, struct channel **c);

/*
 * The session is over, for every channel: it is found no more, and its keys go with its channels,
 * which are channel_over() and leave soon. False: it was not known.
 */
bool sesstab_end(struct sesstab *t, uint64_t session_id, const struct node *node);
/* The same, if it is the session that signs with that key: the number may be another's now. */
bool sesstab_end_of(struct sesstab *t, uint64_t session_id, const struct node *node,
    const uint8_t signing_key[16]);
bool channel_over(const struct channel *c);
/*
 * The same, of the session that c is a channel of: its number may already be another one's. False:
 * it was over before.
 */
bool channel_end(struct sesstab *t, struct channel *c);

/*
 * Is it in doubt whether the node still serves the session? A SESSION_SETUP on it is under way, or
 * has failed, which may have ended it; or it has expired.
 */
void channel_doubt(struct channel *c, bool doubted);
bool channel_doubted(const struct channel *c);

/*
 * Does the node refuse what it does not sign? Of a session that was opened elsewhere that is not
 * known: yes. From now on it does.
 */
bool channel_must_sign(const struct channel *c);
void channel_sign_always(struct channel *c);

/* Its client has logged on again: smbd lets another user do so, and then the session is his. */
void channel_again(struct channel *c);
bool channel_was_again(const struct channel *c);

/*
 * The node has refused to bind a connection that is a channel already. smbd takes that channel away
 * with it, and the session lives on at its others; elsewhere nothing has changed. False: the node
 * has shown since that it is a channel. For the channel's own thread.
 */
void channel_rebind(struct channel *c, bool refused);
bool channel_rebound(const struct channel *c);

/* Has the session other channels than this one? */
bool channel_shared(struct sesstab *t, const struct channel *c);

/*
 * The node has let si in, and SESSION_SETUP named `previous` as the session that it replaces. The
 * node has ended that one only if both are the same user's, [MS-SMB2] 3.3.5.5.3, which is not ours
 * to guess: nobody loses his keys because another one named his session. Whose it is now is not
 * known of one that was logged on to again: it is in doubt. True: it is over.
 */
bool sesstab_replaced(struct sesstab *t, uint64_t previous, const struct session_info *si);

/* Changes when a session has ended that may have channels on other connections. */
unsigned sesstab_ended(const struct sesstab *t);

uint64_t channel_session_id(const struct channel *c);

/* The next one in the list of whoever has it, who sets this: a connection has few channels. */
struct channel **channel_next(struct channel *c);

/*
 * The keys of the session and of this channel, or NULL: it is opaque. Both or none. For the
 * channel's own thread.
 */
struct smbkeys *channel_keys(const struct channel *c);
const struct signkey *channel_signing(const struct channel *c);
/* A guest's or anonymous: nobody has a key for it. */
bool channel_keyless(const struct channel *c);

/*
 * There is no key, and because of that its messages cannot be changed any more: the reason is shown
 * where none was. For the channel's own thread.
 */
void channel_shows(struct sesstab *t, struct channel *c, const char *because);

/* The keys have proved wrong: they are forgotten for this channel, and the reason is shown. */
void channel_opaque(struct sesstab *t, struct channel *c, enum nokey_cause cause,
    const char *because);

/*
 * A reference to the keys of a session, or NULL; node NULL: wherever it lives, if that is one
 * place.
 */
struct smbkeys *sesstab_keys(struct sesstab *t, uint64_t session_id, const struct node *node);

/* Remembers what became of an interface query, and takes seen over: see session_info_query(). */
void channel_query_result(struct sesstab *t, struct channel *c, enum query_result query,
    struct query_seen *seen);

/*
 * The node has opened a file of the session, has closed one, has disconnected a tree: see opens.h.
 * A session that is over has none. -1: memory is out.
 */
int channel_opened(struct sesstab *t, struct channel *c, uint32_t tree)
    __attribute__((warn_unused_result));
void channel_closed(struct sesstab *t, struct channel *c, uint32_t tree);
void channel_disconnected(struct sesstab *t, struct channel *c, uint32_t tree);
/* How many files the session has open; and the same, said of one channel of each session alone. */
unsigned channel_files(struct sesstab *t, const struct channel *c);
unsigned channel_files_shown(struct sesstab *t, const struct channel *c);

/* Whose the session is, and how it is protected. */
enum session_protection channel_look(struct sesstab *t, const struct channel *c,
    char user[SESSION_TEXT_MAX]);
/* Does filter_session() want it? */
bool channel_wanted(struct sesstab *t, const struct channel *c, const struct filter *f);

/* Whose is it, wherever it lives? As logged on, or as the client said. False: not known. */
bool sesstab_user(struct sesstab *t, uint64_t session_id, char *dst, size_t n);
/* Is it a channel of a session that is named so, by its id or its user? */
bool channel_is_of(struct sesstab *t, const struct channel *c, const struct who *w);

/* Is the session known? */
bool sesstab_has(struct sesstab *t, uint64_t session_id, const struct node *node);

/*
 * Is a session of this number known, and not on this node but on another one of its cluster, as
 * node_same_cluster() says?
 */
bool sesstab_elsewhere(struct sesstab *t, uint64_t session_id, const struct node *node,
    bool intercept);

/*
 * Every session that is there all the while, once, with its channels. A few are copied out, and
 * then f is called for each, which may change the table; those that come meanwhile are left out.
 */
void sesstab_each(struct sesstab *t, void (*f)(void *arg, const struct session_info *,
    const struct channel_info *, size_t nchannels), void *arg);

#endif
