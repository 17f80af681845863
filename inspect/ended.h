/* ended.h: sessions that are over, told to other proxies, and by them */
#ifndef INSPECT_ENDED_H
#define INSPECT_ENDED_H

#include <stddef.h>
#include <stdint.h>

#include "state/state.h"

struct mediate_env;
struct node;
struct nodes;
struct secret;
struct session_info;
struct sesstab;
struct smbkeys;

/*
 * As sharing.h: needs a shared map and a cluster secret. What is told is wrapped with that. What
 * cannot be told, now, is not: the others find out when the node says so to them.
 */

/* The node has ended the session of these keys; NULL: opaque, and of no interest. */
void ended_tell(struct mediate_env *env, uint64_t session_id, const struct node *node,
    const struct smbkeys *keys);

/* The node has let si in, whose logon named `previous`: for sesstab_replaced() of the others. */
void ended_tell_previous(struct mediate_env *env, uint64_t previous, const struct session_info *si);

struct ended_session {
	uint64_t session_id;
	char node[STATE_NODE_LEN];
};

/*
 * What another proxy has told. 1: *e was known here, and is over; 0: it was not, or it is another
 * session of that number; -1: nobody of the cluster has said that. From any thread.
 */
int ended_heard(const struct secret *secret, struct sesstab *t, struct nodes *nodes,
    const void *bytes, size_t len, struct ended_session *e) __attribute__((warn_unused_result));

#endif
