/* mech.h: which mechanism a logon goes by, as far as its tokens have been read */
#ifndef INSPECT_MECH_H
#define INSPECT_MECH_H

#include <stdbool.h>

struct ntlm_auth;
struct token;

/*
 * Of a logon under way. Only what was read counts: where policy refuses some logons, one of which
 * nothing was read is refused with them.
 */
enum mech {
	MECH_UNREAD,		/* nothing says what it is */
	MECH_KERBEROS,
	MECH_NTLM,		/* nobody is named: not yet, or never */
	MECH_NTLM_USER,
};

/* What an AUTHENTICATE says, read into *a; NULL: it cannot be read, or the token is none. Pure. */
const struct ntlm_auth *mech_ntlm(const struct token *t, struct ntlm_auth *a);
/* The client's next token. a: of mech_ntlm(). unicode: of ntlm_names(). Pure. */
enum mech mech_said(enum mech was, const struct token *t, const struct ntlm_auth *a, bool unicode);

bool mech_is_ntlm(enum mech m);

#endif
