/* ntlm.h: what an observer reads out of an NTLM AUTHENTICATE message */
#ifndef AUTH_NTLM_H
#define AUTH_NTLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * NTLM AUTHENTICATE_MESSAGE, [MS-NLMP] 2.2.1.3; the ranges point into the message. Names are UTF-16
 * little-endian where unicode is set, else the client's code page.
 */
struct ntlm_auth {
	const uint8_t *nt, *lm, *domain, *user, *workstation, *session_key;
	size_t nt_len, lm_len, domain_len, user_len, workstation_len, session_key_len;
	uint32_t flags;
	bool unicode;
};

/* An NTLM CHALLENGE, [MS-NLMP] 2.2.1.2: has the server agreed on Unicode? */
bool ntlm_challenge_unicode(const uint8_t *p, size_t n);

#define NTLMSSP_NEGOTIATE_UNICODE 0x00000001u
#define NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY 0x00080000u
#define NTLMSSP_NEGOTIATE_KEY_EXCH 0x40000000u

/* p: from "NTLMSSP" on. 0, or -1 when it is not well formed. */
int ntlm_auth_get(struct ntlm_auth *a, const uint8_t *p, size_t n)
    __attribute__((warn_unused_result));

/*
 * Does it name a user? A name ends at its NUL, where servers end it. unicode: both ends have agreed
 * on that in the CHALLENGE; a server goes by it, whatever the flags of this message say.
 */
bool ntlm_names(const struct ntlm_auth *a, bool unicode);

/* Nobody's logon: no name and no response, [MS-NLMP] 3.2.5.1.2. */
bool ntlm_anonymous(const struct ntlm_auth *a);

#endif
