/* vc_reset.h: pure: which connections an SMB1 logon with VcNumber 0 ends */
#ifndef INSPECT_VC_RESET_H
#define INSPECT_VC_RESET_H

#include <stdint.h>

#include "policy/policy.h"

struct identity;
struct keyhash;

/*
 * VcNumber 0 says that the client has lost all its connections, [MS-CIFS] 2.1.3, and the server is
 * to end them. The node would end those of everybody here, for it knows one address; so smbgate
 * does it. Only after the logon, or anybody could end the connections of others.
 */

/*
 * Two connections with the same key are the same client's, as far as the policy wants to tell, to
 * the same cluster, which has that number. The same on all proxies. 0: it is nobody's.
 */
uint64_t vc_reset_key(const struct policy *p, enum pol_vc_reset how, struct keyhash *h,
    const struct addr *client, const struct identity *id, uint32_t cluster);

/* What ends: connections with that key that began before. */
struct vc_reset {
	uint64_t key;
	uint64_t by;			/* the connection that asks, if it is this process's */
	uint64_t before_ms;
};

#endif
