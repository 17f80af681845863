/* mediate.h: what is done with a held message: noted, refused, rewritten or passed */
#ifndef PROXY_MEDIATE_H
#define PROXY_MEDIATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "proxy/classify.h"
#include "proxy/session.h"
#include "proxy/track.h"
#include "proxy/verdict.h"

struct node;
struct policy;
struct stats;

/* A rewritten frame: a held one, in which every list may have grown. */
#define MEDIATE_EDIT_MAX (HOLD_MAX + 65536)

/* What all connections of one worker share. */
struct mediate_env {
	struct sesstab *sessions;
	struct stats *stats;
	struct policy *policy;		/* in force now; the worker's reference */
	struct log_limit log;
	uint8_t edit[MEDIATE_EDIT_MAX];
};

/*
 * One connection between client and node, as far as protocol goes; no sockets. The owner keeps
 * env, listener and node alive.
 */
struct mediate {
	struct track track;
	struct mediate_env *env;
	struct node *node;
	const char *listener;
	struct channel_info self;
};

void mediate_init(struct mediate *m, struct mediate_env *env, const char *listener,
    const struct channel_info *self);
/* Leaves all sessions. */
void mediate_fini(struct mediate *m);

/* A whole frame, transport header included, that classify() wanted held. */
struct outcome mediate_held(struct mediate *m, enum dir dir, const uint8_t *frame, size_t len);

#endif
