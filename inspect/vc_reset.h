/* vc_reset.h: pure: which connections an SMB1 logon with VcNumber 0 ends */
#ifndef INSPECT_VC_RESET_H
#define INSPECT_VC_RESET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "inspect/identity.h"

struct policy;

/*
 * VcNumber 0 says that the client has lost all its connections, [MS-CIFS] 2.1.3, and the server is
 * to end them. The node would end those of everybody here, for it knows one address; so smbgate
 * does it. Only after the logon, or anybody could end the connections of others.
 */

/* A connection, and whose it is. */
struct vc_conn {
	uint64_t id;
	uint64_t accepted_ms;
	struct addr client;
	struct identity identity;
};

struct vc_reset {
	struct vc_conn by;	/* whose logon said VcNumber 0 */
	bool by_identity;	/* an address may be several clients' */
};

/*
 *   OFF    the policy wants none
 *   NAT    the policy goes by addresses, and this one is shared by many clients
 *   OLDER  *r says which connections end
 */
enum vc_choice { VC_CHOICE_OFF, VC_CHOICE_NAT, VC_CHOICE_OLDER };

enum vc_choice vc_reset_choose(const struct policy *p, const struct vc_conn *by,
    struct vc_reset *r);

/* Is it one that the same client has given up? */
bool vc_reset_ends(const struct vc_reset *r, const struct vc_conn *c);

#endif
