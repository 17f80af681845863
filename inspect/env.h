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

struct crypt;
struct keyc;
struct keyhash;
struct node;
struct policy;
struct secret;
struct sharing;
struct smb1;
struct state;
struct stats;

/* A changed frame: a held one, in which every list may have grown, and room to seal it. */
#define MEDIATE_EDIT_MAX (HOLD_MAX + 65536 + 64)

/* What all connections of one worker share. */
struct mediate_env {
	struct sesstab *sessions;
	struct stats *stats;
	struct policy *policy;		/* in force now; the worker's reference */
	struct keyc *keyc;		/* NULL: no keytab */
	struct keyhash *hash;
	struct crypt *crypt;		/* NULL: no session is keyed */
	struct state *state;		/* NULL: nothing is shared with other proxies */
	const struct secret *secret;
	struct log_limit log;
	uint8_t edit[MEDIATE_EDIT_MAX];
	uint8_t plain[HOLD_MAX];	/* of a sealed frame */
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
	const char *listener;
	bool intercept;			/* its clients dial the nodes' own addresses */
	struct channel_ends self;
	struct logons logons;
	struct sharing *sharing;	/* what other proxies know of a session that is bound to */
	struct smb1 *smb1;		/* NULL until SMB1 is agreed on */
	struct identity identity;	/* of the logons that have succeeded */
	void (*wake)(void *arg);
	void *wake_arg;
};

/* Whom a log line is about. */
struct log_conn mediate_log(const struct mediate *m);

/* May a line about messages be logged now? Says how many were left out. */
bool mediate_may_log(struct mediate *m);

/* Calls wake, out of the loop, for those that m waits for. arg: m. */
void mediate_wake(void *m);

#endif
