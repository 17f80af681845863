/* session_rows.h: the rows of the table of sessions, for the files session*.c alone */
#ifndef INSPECT_SESSION_ROWS_H
#define INSPECT_SESSION_ROWS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "inspect/session_info.h"

struct opens;
struct signkey;
struct smbkeys;

/*
 * Sharded by SessionId; each shard's lock is a leaf and never held over a callback. Sessions of
 * different nodes may carry the same number (they are unique per server, not per site), so a
 * number leads to a list. A session lives as long as a channel points to it; once it is over it is
 * out of the table while its channels end.
 */

#define SESSION_SHARDS 64

/* There are as many of these two as clients: what most do not have is kept elsewhere. */
struct channel {
	struct session *session;
	struct smbkeys *keys;		/* the session's, a reference; NULL: opaque */
	struct signkey *signing;	/* of the keys, or its own; NULL: opaque */
	const struct channel_ends *ends;	/* borrowed */
	struct channel *next;
	SLIST_ENTRY(channel) entry;	/* a node lets a session have few */
	bool bound;
	bool shown;			/* how it is protected: channel_shows() */
	bool rebound;			/* channel_rebind() */
	bool owns_signing;		/* signing is the channel's: to be wiped and freed */
};

struct session {
	struct session_info info;	/* what it points to is the session's own */
	struct opens *opens;		/* NULL: none so far */
	struct smbkeys *keys;		/* a reference; NULL: opaque */
	_Atomic bool over;		/* its node has said so; not in the table */
	_Atomic bool doubted;		/* its node may think so */
	_Atomic bool must_sign;		/* every request of it, or so it may be */
	_Atomic bool again;		/* logged on again, maybe as another user */
	unsigned nchannels;
	SLIST_HEAD(, channel) channels;	/* the first is that of the logon */
	struct session *next;	/* of its bucket */
	LIST_ENTRY(session) entry;
};

/* Somebody goes through the sessions of a shard, a few at a time: the next one. */
struct session_cursor {
	struct session *next;
	LIST_ENTRY(session_cursor) entry;
};

struct shard {
	pthread_mutex_t lock;
	struct session **buckets;	/* by number; NULL: there was none yet */
	unsigned nbuckets;		/* a power of two */
	unsigned n;			/* sessions in them */
	/*
	 * All of them, the newest first: who goes through them meets none that has come since, so
	 * there is an end to it.
	 */
	LIST_HEAD(, session) all;
	LIST_HEAD(, session_cursor) cursors;
	struct session_tally *tally;	/* of these, a row a node: nobody need count them */
	size_t ntally;
};

struct sesstab {
	struct shard shard[SESSION_SHARDS];
	_Atomic unsigned ended;		/* see sesstab_ended() */
};

/* All but the first with the shard locked. session_list(): -1 when memory is out. */
struct shard *session_shard(struct sesstab *t, uint64_t session_id);
struct session *session_head(const struct shard *sh, uint64_t session_id);
/* The next one of the same number, on another node; NULL: there is none. */
struct session *session_same(const struct session *s);
struct session *session_find(const struct shard *sh, uint64_t session_id, const struct node *node);
int session_list(struct shard *sh, struct session *s) __attribute__((warn_unused_result));
void session_unlist(struct shard *sh, struct session *s);
/*
 * Sessions of the node can be counted from now on; -1: out of memory. One is counted by 1 when it
 * is in the table, and by -1 before it leaves or anything that is counted changes.
 */
int session_countable(struct shard *sh, const struct node *node)
    __attribute__((warn_unused_result));
void session_count(struct shard *sh, const struct session *s, int by);
/* It has `before` files no more, but those of s->opens; one that is over is not counted. */
void session_count_files(struct shard *sh, const struct session *s, unsigned before);
void session_free(struct session *s);
/* A new one, in the table, with a reference to keys. NULL: memory is out. */
struct session *session_new(struct shard *sh, const struct session_info *si, struct smbkeys *keys);
void channel_append(struct session *s, struct channel *c);
/*
 * A further channel has its own signing key, and all else of the session's keys, which c has a
 * reference to; NULL: it has none. Without the lock. -1 when memory is out.
 */
int channel_share_keys(struct channel *c, const struct signkey *signing)
    __attribute__((warn_unused_result));
/* It is over: see sesstab_end(). So many of its channels are the caller's, who knows. */
void session_end(struct sesstab *t, struct shard *sh, struct session *s, unsigned own);

#endif
