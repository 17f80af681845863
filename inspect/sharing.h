/* sharing.h: the keys of sessions, given to other proxies and had from them, wrapped */
#ifndef INSPECT_SHARING_H
#define INSPECT_SHARING_H

#include <stdbool.h>
#include <stdint.h>

struct mediate;
struct mediate_env;
struct sharing;
struct smbkeys;

/*
 * Needs a shared map and a cluster secret; without either nothing is given and nobody is asked. A
 * session's facts are with its client's claim: its further channels come with the ClientGuid of its
 * first, [MS-SMB2] 4.8, and servers refuse others. They are bound to the session's node and number:
 * put anywhere else they do not open.
 */

/* May others have channels of sessions that this proxy knows? */
bool sharing_possible(const struct mediate_env *env);

/* The session lives on m's node; keys NULL: it is opaque, or keys of it are of no use. */
void sharing_put(const struct mediate *m, uint64_t session_id, const struct smbkeys *keys);
/* It is over, for every proxy. */
void sharing_drop(struct mediate *m, uint64_t session_id);
/* This proxy has no part in it any more; another one may. */
void sharing_leave(struct mediate *m, uint64_t session_id);

/*
 * Asks what the others know of the session of m's client, for m, which outlives *s. True: wake(m)
 * will run when that is known; false: it is known, or nobody can be asked. *s is made as needed and
 * remembers the session that was asked for last, and those whose binds are not answered.
 */
bool sharing_ask(struct sharing **s, struct mediate *m, uint64_t session_id,
    void (*wake)(void *m));
/* Is an answer waited for: the other proxies', or the node's to what was asked for? */
bool sharing_owed(const struct sharing *s);
/* A reference of the caller's to the session's keys on that node, or NULL. */
struct smbkeys *sharing_keys(const struct sharing *s, uint64_t session_id);
/* Is it known on another node of that one's cluster, and not on that one? */
bool sharing_elsewhere(const struct sharing *s, uint64_t session_id);
void sharing_free(struct sharing **s);

#endif
