/* vc_reset.c: pure: which connections an SMB1 logon with VcNumber 0 ends */
#include "config.h"

#include "inspect/vc_reset.h"

#include "policy/policy.h"

enum vc_choice
vc_reset_choose(const struct policy *p, const struct vc_conn *by, struct vc_reset *r)
{
	*r = (struct vc_reset){ .by = *by, .by_identity = p->vc_reset == POL_VC_RESET_IDENTITY };
	if (p->vc_reset == POL_VC_RESET_OFF)
		return VC_CHOICE_OFF;
	if (p->vc_reset == POL_VC_RESET_ADDRESS && policy_is_nat(p, &by->client))
		return VC_CHOICE_NAT;
	return VC_CHOICE_OLDER;
}

bool
vc_reset_ends(const struct vc_reset *r, const struct vc_conn *c)
{
	return c->id != r->by.id && c->accepted_ms < r->by.accepted_ms &&
	    addr_equal(&c->client, &r->by.client) &&
	    (!r->by_identity || identity_same(&c->identity, &r->by.identity));
}
