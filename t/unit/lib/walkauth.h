/* walkauth.h: look for tokens in any bytes and check what must always hold */
#ifndef T_UNIT_LIB_WALKAUTH_H
#define T_UNIT_LIB_WALKAUTH_H

#include "auth/ntlm.h"
#include "auth/spnego.h"
#include "t/unit/lib/walk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* An AUTHENTICATE message in a block of exactly len bytes: is it well formed? */
static inline bool
walk_ntlm(const uint8_t *p, size_t len)
{
	struct ntlm_auth a;

	if (ntlm_auth_get(&a, p, len) < 0)
		return false;
	HOLDS(len >= 64 && memcmp(p, "NTLMSSP\0\3\0\0\0", 12) == 0);
	walk_inside(a.nt, a.nt_len, p, len);
	walk_inside(a.domain, a.domain_len, p, len);
	walk_inside(a.user, a.user_len, p, len);
	walk_inside(a.session_key, a.session_key_len, p, len);
	/* No field is made of the fixed ones. */
	HOLDS((a.nt_len == 0 || a.nt >= p + 64) && (a.domain_len == 0 || a.domain >= p + 64) &&
	    (a.user_len == 0 || a.user >= p + 64) &&
	    (a.session_key_len == 0 || a.session_key >= p + 64));
	HOLDS(a.lm_len <= len - 64 || a.lm_len == 0);
	HOLDS(a.unicode == ((a.flags & NTLMSSP_NEGOTIATE_UNICODE) != 0));
	HOLDS(!ntlm_anonymous(&a) || (!ntlm_names(&a, a.unicode) && a.nt_len == 0));
	HOLDS(!ntlm_names(&a, false) || ntlm_names(&a, true));
	return true;
}

/* A security buffer in a block of exactly len bytes. */
static inline struct token
walk_token(const uint8_t *p, size_t len)
{
	static const uint8_t tags[] = { [TOKEN_AP_REQ] = 0x6e, [TOKEN_AP_REP] = 0x6f,
		[TOKEN_KRB_ERROR] = 0x7e };
	struct token t = spnego_token(p, len);
	size_t whole = spnego_len(p, len);

	HOLDS(whole != 1 && (whole == 0 || len >= 2));
	if (whole > 0 && whole <= len)
		HOLDS(spnego_len(p, whole) == whole);
	if (t.kind == TOKEN_NONE || t.kind == TOKEN_UNREAD) {
		HOLDS(t.p == NULL && t.len == 0);
		return t;
	}
	HOLDS(t.len > 0);
	walk_inside(t.p, t.len, p, len);
	switch (t.kind) {
	case TOKEN_AP_REQ:
	case TOKEN_AP_REP:
	case TOKEN_KRB_ERROR:
		HOLDS(t.p[0] == tags[t.kind]);
		break;
	default:
		HOLDS(t.len >= 12 && memcmp(t.p, "NTLMSSP", 8) == 0);
		HOLDS(t.p[8] == 1 + (unsigned)t.kind - TOKEN_NTLM_NEGOTIATE);
		HOLDS(!walk_ntlm(t.p, t.len) || t.kind == TOKEN_NTLM_AUTHENTICATE);
		break;
	}
	/* What wraps it is there as a whole. */
	HOLDS(t.p == p || (whole > 0 && whole <= len));
	return t;
}

#endif
