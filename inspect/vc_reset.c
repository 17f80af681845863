/* vc_reset.c: pure: which connections an SMB1 logon with VcNumber 0 ends */
#include "config.h"

#include "inspect/vc_reset.h"

#include "auth/keyhash.h"
#include "inspect/identity.h"

/* What a client is told by, besides its address. */
enum told_by { BY_ADDRESS = 1, BY_MACHINE, BY_USER };

static uint64_t
client_key(struct keyhash *h, const struct addr *client, enum told_by by, uint64_t name,
    uint32_t cluster)
{
	const uint64_t what[3] = { by, name, cluster };
	uint64_t key = keyhash(h, client->b, sizeof(client->b), what, sizeof(what));

	return key == 0 ? 1 : key;
}

uint64_t
vc_reset_key(const struct policy *p, enum pol_vc_reset how, struct keyhash *h,
    const struct addr *client, const struct identity *id, uint32_t cluster)
{
	switch (how) {
	case POL_VC_RESET_OFF:
		return 0;
	case POL_VC_RESET_ADDRESS:
		return policy_is_nat(p, client) ? 0 : client_key(h, client, BY_ADDRESS, 0, cluster);
	case POL_VC_RESET_IDENTITY:
	case POL_VC_RESET_USER:
		break;
	}
	/* Where the machine is known it is that machine, whoever uses it. */
	if (id->machine != 0)
		return client_key(h, client, BY_MACHINE, id->machine, cluster);
	return how == POL_VC_RESET_USER && id->principal != 0
	    ? client_key(h, client, BY_USER, id->principal, cluster)
	    : 0;
}
