/* spnego.h: which mechanism's token a security buffer carries, and where in it */
#ifndef AUTH_SPNEGO_H
#define AUTH_SPNEGO_H

#include <stddef.h>
#include <stdint.h>

enum token_kind {
	TOKEN_NONE,		/* nothing about a key: a MIC, a bare state, another mechanism's */
	TOKEN_UNREAD,		/* not well formed, or others could read it otherwise */
	TOKEN_AP_REQ,		/* [RFC 4121] 4.1 */
	TOKEN_AP_REP,
	TOKEN_KRB_ERROR,
	TOKEN_NTLM_NEGOTIATE,	/* [MS-NLMP] 2.2.1.1 */
	TOKEN_NTLM_CHALLENGE,
	TOKEN_NTLM_AUTHENTICATE,
};

struct token {
	enum token_kind kind;
	const uint8_t *p;	/* unwrapped: AP-REQ from 0x6e on, NTLM from "NTLMSSP" on */
	size_t len;
};

/* Length of the whole token at p, GSS framing or negTokenResp; 0: not known yet, or neither. */
size_t spnego_len(const uint8_t *p, size_t n);

/*
 * The token in the security buffer of a SESSION_SETUP, [MS-SMB2] 3.2.4.2.3: SPNEGO's first or
 * later message [RFC 4178] 4.2, a mechanism's own token in GSS framing [RFC 2743] 3.1, bare (DCE
 * style), or raw NTLMSSP.
 *
 * Servers read more than DER has: lengths of no octet and of nine, a field twice, of which the
 * last one counts. What they could read otherwise than it is read here is TOKEN_UNREAD, never
 * another kind: t/fuzz/fuzz-door.c compares it with Samba's rules.
 */
struct token spnego_token(const uint8_t *p, size_t n);

#endif
