/* sharing.h: the keys of sessions, given to other proxies and had from them, wrapped */
#ifndef INSPECT_SHARING_H
#define INSPECT_SHARING_H

#include <stdbool.h>
#include <stdint.h>

struct mediate_env;
struct sharing;
struct smbkeys;

/*
 * Needs a shared map and a cluster secret; without either nothing is given and nobody is asked. A
 * session's facts are bound to its node and number: put anywhere else they do not open.
 */

/* The session lives on node; keys NULL: it is opaque, or keys of it are of no use. */
void sharing_put(struct mediate_env *env, uint64_t session_id, const char *node,
    const struct smbkeys *keys);
/* It is over, or this proxy has no part in it any more. */
void sharing_drop(struct mediate_env *env, uint64_t session_id, const char *node);

/*
 * Asks what the others know of the session, for a connection that has reached node. True: wake(arg)
 * will run when that is known; false: it is known, or nobody can be asked. *s is made as needed and
 * remembers the one session that was asked for last.
 */
bool sharing_ask(struct sharing **s, struct mediate_env *env, uint64_t session_id,
    const char *node, void (*wake)(void *arg), void *arg);
/* A reference of the caller's to the session's keys on that node, or NULL. */
struct smbkeys *sharing_keys(const struct sharing *s, uint64_t session_id);
/* Is it known on another node, and not on that one? */
bool sharing_elsewhere(const struct sharing *s, uint64_t session_id);
void sharing_free(struct sharing **s);

#endif
