/* mech.c: which mechanism a logon goes by, as far as its tokens have been read */
#include "config.h"

#include "inspect/mech.h"

#include "auth/ntlm.h"
#include "auth/spnego.h"

bool
mech_is_ntlm(enum mech m)
{
	return m == MECH_NTLM || m == MECH_NTLM_USER;
}

const struct ntlm_auth *
mech_ntlm(const struct token *t, struct ntlm_auth *a)
{
	return t->kind == TOKEN_NTLM_AUTHENTICATE && ntlm_auth_get(a, t->p, t->len) == 0 ? a : NULL;
}

enum mech
mech_said(enum mech was, const struct token *t, const struct ntlm_auth *a, bool unicode)
{
	switch (t->kind) {
	case TOKEN_NONE:
	case TOKEN_AP_REP:
	case TOKEN_KRB_ERROR:
		return was;
	case TOKEN_AP_REQ:
		return MECH_KERBEROS;
	case TOKEN_NTLM_NEGOTIATE:
		return MECH_NTLM;
	case TOKEN_NTLM_AUTHENTICATE:
		return a != NULL && ntlm_names(a, unicode) ? MECH_NTLM_USER : MECH_NTLM;
	case TOKEN_NTLM_CHALLENGE:
	case TOKEN_UNREAD:
		break;
	}
	/* The node has begun with NTLM: what cannot be read goes on with it. */
	return mech_is_ntlm(was) ? MECH_NTLM : MECH_UNREAD;
}
