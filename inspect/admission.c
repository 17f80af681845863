/* admission.c: pure: which dialects, logons, binds and sessions the policy lets in */
#include "config.h"

#include "inspect/admission.h"

#include "auth/keys.h"
#include "auth/sign.h"
#include "auth/spnego.h"
#include "inspect/frame.h"
#include "smb/const.h"

#include <string.h>

static struct decision
refuse(uint32_t status, enum counter c, const char *text)
{
	struct decision d = { .act = DECIDE_REFUSE, .status = status, .text = text };

	decision_count(&d, c);
	return d;
}

struct decision
admission_dialect(const struct pol_auth *auth, uint16_t dialect)
{
	return dialect < auth->min_dialect ? decide_close(CLOSE_DIALECT_REFUSED)
	                                     : decide(DECIDE_PASS);
}

struct decision
admission_bind(const struct policy *p, const struct addr *dialled, bool elsewhere)
{
	if (!policy_allows(p, dialled))
		return refuse(STATUS_REQUEST_NOT_ACCEPTED, STAT_binds_refused_address,
		    "bind refused, the address is forbidden");
	if (elsewhere)
		return refuse(STATUS_REQUEST_NOT_ACCEPTED, STAT_binds_refused_node,
		    "bind refused, the session lives on another node");
	return decide(DECIDE_PASS);
}

bool
admission_bind_signed(struct crypt *c, const struct smbkeys *session, uint16_t alg,
    const struct message *msg)
{
	struct signkey k;
	bool good;

	/* GMAC's nonce is the MessageId, and the first channel has used these small ones. */
	if (session == NULL || c == NULL || alg == SMB2_SIGNING_AES_GMAC)
		return false;
	k = session->signing;
	k.alg = alg;
	good = sign_good(c, &k, msg->bytes, msg->part.len);
	explicit_bzero(&k, sizeof(k));
	return good;
}

bool
admission_picks(const struct pol_auth *auth)
{
	return auth->ntlm == POL_AUTH_REFUSE || auth->guest == POL_AUTH_REFUSE;
}

struct decision
admission_token(const struct pol_auth *auth, const struct token *t, enum mech mech)
{
	if (auth->ntlm == POL_AUTH_REFUSE && mech_is_ntlm(mech))
		return refuse(STATUS_NTLM_BLOCKED, STAT_ntlm_refused, "NTLM logon refused");
	if (admission_picks(auth) && t->kind == TOKEN_UNREAD)
		return refuse(STATUS_ACCESS_DENIED, STAT_logons_unread,
		    "logon refused, its token cannot be read");
	if (auth->guest == POL_AUTH_REFUSE && t->kind == TOKEN_NTLM_AUTHENTICATE &&
	    mech != MECH_NTLM_USER)
		return refuse(STATUS_ACCESS_DENIED, STAT_guests_refused,
		    "anonymous logon refused");
	return decide(DECIDE_PASS);
}

static struct decision
refuse_session(enum close_reason why, enum counter c)
{
	struct decision d = decide_close(why);

	decision_count(&d, c);
	return d;
}

struct decision
admission_logon(const struct pol_auth *auth, const struct session_info *si, enum mech mech)
{
	if (auth->guest == POL_AUTH_REFUSE && (si->guest || si->anonymous || mech == MECH_NTLM))
		return refuse_session(CLOSE_GUEST_REFUSED, STAT_guests_refused);
	/* A user's NTLM was let in by the policy that the request met. */
	if (admission_picks(auth) && mech == MECH_UNREAD)
		return refuse_session(CLOSE_LOGON_UNREAD, STAT_logons_unread);
	return decide(DECIDE_PASS);
}

struct decision
admission_session(const struct policy *p, const struct session_info *si)
{
	/* [MS-SMB2] 3.2.4.1.1: from 3.1.1 on every TREE_CONNECT is signed or sealed. */
	const bool user = !si->guest && !si->anonymous;
	const bool covers = si->signing_required || si->sealed ||
	    (user && si->dialect >= SMB2_DIALECT_311);

	/* Policy wants every session seen, and this one will hide its messages or seal them. */
	if (!si->keyed && p->unkeyed == POL_UNKEYED_REFUSE && covers)
		return refuse_session(CLOSE_UNKEYED, STAT_unkeyed_refused);
	return decide(DECIDE_PASS);
}
