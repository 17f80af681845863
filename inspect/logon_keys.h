/* logon_keys.h: the keys of a logon, believed when the node's answer is signed with them */
#ifndef INSPECT_LOGON_KEYS_H
#define INSPECT_LOGON_KEYS_H

#include <stddef.h>
#include <stdint.h>

struct crypt;
struct logon_facts;
struct signkey;
struct smbkeys;

/*
 * answer: the SESSION_SETUP answer with success, len bytes. The first derivation counts whose key
 * has signed it, or any where it is not signed. NULL, and the keys are there; or why there are
 * none, for people.
 */

/* Of a session's first channel. *keys: a reference of the caller's. */
const char *logon_keys(const struct logon_facts *f, struct crypt *crypt, const uint8_t *answer,
    size_t len, struct smbkeys **keys, struct signkey *signing);

/* Of a further channel, which has a signing key of its own. session NULL: opaque. */
const char *logon_keys_bound(const struct logon_facts *f, struct crypt *crypt,
    const uint8_t *answer, size_t len, const struct smbkeys *session, struct signkey *signing);

#endif
