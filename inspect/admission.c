/* admission.c: pure: which dialects, logons, binds and sessions the policy lets in */
#include "config.h"

#include "inspect/admission.h"

#include "auth/keys.h"
#include "auth/ntlm.h"
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
admission_dialect(const struct policy *p, uint16_t dialect)
{
	return dialect < p->auth.min_dialect ? decide_close(CLOSE_DIALECT_REFUSED)
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

static bool
is_ntlm(const struct token *t)
{
	return t->kind == TOKEN_NTLM_NEGOTIATE || t->kind == TOKEN_NTLM_AUTHENTICATE;
}

struct decision
admission_token(const struct policy *p, const struct token *t)
{
	struct ntlm_auth n;

	if (is_ntlm(t) && p->auth.ntlm == POL_AUTH_REFUSE)
		return refuse(STATUS_NTLM_BLOCKED, STAT_ntlm_refused, "NTLM logon refused");
	if (t->kind == TOKEN_NTLM_AUTHENTICATE && p->auth.guest == POL_AUTH_REFUSE &&
	    ntlm_auth_get(&n, t->p, t->len) == 0 && ntlm_anonymous(&n))
		return refuse(STATUS_ACCESS_DENIED, STAT_guests_refused,
		    "anonymous logon refused");
	return decide(DECIDE_PASS);
}

struct decision
admission_session(const struct policy *p, const struct session_info *si, bool compression,
    enum pol_ifmode mode)
{
	struct decision d;

	if ((si->guest || si->anonymous) && p->auth.guest == POL_AUTH_REFUSE) {
		d = decide_close(CLOSE_GUEST_REFUSED);
		decision_count(&d, STAT_guests_refused);
		return d;
	}
	/* Policy wants every session seen, and this one will hide its messages or seal them. */
	if (!si->keyed && p->unkeyed == POL_UNKEYED_REFUSE && (si->signing_required || si->sealed))
		return decide_close(CLOSE_UNKEYED);
	/* What is compressed cannot be seen, and on this session it must be. */
	if (si->keyed && compression && p->compression == POL_COMPRESSION_REFUSE &&
	    mode != POL_IF_PASS)
		return decide_close(CLOSE_COMPRESSION);
	return decide(DECIDE_PASS);
}
