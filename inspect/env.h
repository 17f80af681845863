/* env.h: what all inspected connections of one worker share, and what one of them is */
#ifndef INSPECT_ENV_H
#define INSPECT_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/magic.h"
#include "inspect/classify.h"
#include "inspect/identity.h"
#include "inspect/logon.h"
#include "inspect/session.h"
#include "inspect/track.h"
#include "policy/policy.h"
#include "smb/hdr2.h"

struct crypt;
struct keyc;
struct keyhash;
struct message;
struct node;
struct secret;
struct sharing;
struct smb1;
struct state;
struct state_hold;
struct refused;
struct stats;

/* A changed frame: a held one, in which every list may have grown, and room to seal it. */
#define MEDIATE_EDIT_MAX (HOLD_MAX + 65536 + 64)

/* What all connections of one worker share. */
struct mediate_env {
	struct sesstab *sessions;
	struct stats *stats;
	struct refused *refused;	/* NULL: nobody keeps them */
	struct policy *policy;		/* in force now; the worker's reference */
	struct keyc *keyc;		/* NULL: no keytab */
	struct keyhash *hash;
	struct crypt *crypt;		/* NULL: no session is keyed */
	struct logon_env logon;		/* of these two: mediate_init()'s */
	struct state *state;		/* NULL: nothing is shared with other proxies */
	const struct secret *secret;
	bool leaving;			/* connections go to the smbgate that goes on */
	/* Of mediate_init(). hold: the connection's share in its client's claim, or NULL. */
	void (*wake)(void *arg, enum dir dir);
	struct state_hold *(*hold)(void *arg);	/* NULL: nothing is shared */
	/* Of a traced connection: one word and a line. */
	void (*trace)(void *arg, const char *event, const char *text);
	struct hdr2 peeked;		/* by classify(), for the frame in hand */
	uint8_t edit[MEDIATE_EDIT_MAX];
	uint8_t plain[HOLD_MAX];	/* of a sealed frame */
	uint8_t uncompressed[HOLD_MAX];
	struct message *messages;	/* of the frame in hand: frame.c's; the owner frees them */
	unsigned messages_cap;
};

#define MEDIATE_MAGIC 0x6d656469u

/*
 * One connection between client and node, as far as protocol goes; no sockets. The owner keeps
 * env, listener and node alive.
 */
struct mediate {
	MAGIC_MEMBER
	struct track track;
	struct mediate_env *env;
	struct node *node;
	bool intercept : 1;		/* its clients dial the nodes' own addresses */
	bool refused : 1;		/* the refusal that ends it is kept already */
	bool traced : 1;		/* somebody wants to know what is decided */
	bool uncounted : 1;		/* not every answer has been seen */
	uint16_t outstanding;		/* requests; credits keep them to 8192: heads.h */
	unsigned ended;			/* of sesstab_ended(), for session_over.c alone */
	struct logons logons;
	struct channel_ends self;
	struct sharing *sharing;	/* what other proxies know of a session that is bound to */
	struct smb1 *smb1;		/* NULL until SMB1 is agreed on */
	struct identity identity;	/* of the logons that have succeeded */
	void *owner;			/* arg of env->wake(), hold(), trace() */
};

/* What policy says now of its listener's clients. */
static inline const struct pol_listener *
mediate_rules(const struct mediate *m)
{
	return policy_listener(m->env->policy, m->self.listener);
}

/*
 * A refusal of that kind of refusals.h is kept; -1: it is none. guid: the client's. session_id:
 * what it was about, or 0. user NULL: whom that session or the last logon is of.
 */
void mediate_refused(const struct mediate *m, int kind, const struct guid *guid,
    uint64_t session_id, const char *user);

/* Whom a log line is about, and what has happened to them. */
struct log_fields mediate_log(const struct mediate *m, enum log_event event);

/* Call wake, out of the loop, for what m waits for: what a client's frame, a node's, needs. */
void mediate_wake_request(void *m);
void mediate_wake_answer(void *m);

#endif
