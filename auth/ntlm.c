/* ntlm.c: what an observer reads out of an NTLM AUTHENTICATE message */
#include "config.h"

#include "auth/ntlm.h"

#include "base/rd.h"

#include <string.h>

#define AUTHENTICATE 3
/* Fixed fields up to NegotiateFlags; Version and MIC are not always there. */
#define FIXED_LEN 64

/* Len, MaxLen, BufferOffset: [MS-NLMP] 2.2.1.3. */
static struct rd
field(struct rd *r)
{
	uint16_t len = rd_u16(r);
	uint32_t off;

	rd_skip(r, 2);
	off = rd_u32(r);
	if (len == 0)
		return rd_sub(r, 0, 0);
	if (off < FIXED_LEN)
		r->bad = true;
	return rd_sub(r, off, len);
}

int
ntlm_auth_get(struct ntlm_auth *a, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n), nt, lm, domain, user, workstation, key;
	const uint8_t *mark = rd_bytes(&r, 8);

	*a = (struct ntlm_auth){ .flags = 0 };
	if (mark == NULL || memcmp(mark, "NTLMSSP", 8) != 0 || rd_u32(&r) != AUTHENTICATE)
		return -1;
	lm = field(&r);
	nt = field(&r);
	domain = field(&r);
	user = field(&r);
	workstation = field(&r);
	key = field(&r);
	a->flags = rd_u32(&r);
	if (!rd_ok(&r))
		return -1;
	a->lm = lm.base;
	a->lm_len = lm.len;
	a->nt = nt.base;
	a->nt_len = nt.len;
	a->domain = domain.base;
	a->domain_len = domain.len;
	a->user = user.base;
	a->user_len = user.len;
	a->workstation = workstation.base;
	a->workstation_len = workstation.len;
	a->session_key = key.base;
	a->session_key_len = key.len;
	a->unicode = (a->flags & NTLMSSP_NEGOTIATE_UNICODE) != 0;
	return 0;
}

bool
ntlm_challenge_unicode(const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);

	/* Behind the mark, the type and TargetName. */
	rd_skip(&r, 20);
	return (rd_u32(&r) & NTLMSSP_NEGOTIATE_UNICODE) != 0;
}

bool
ntlm_names(const struct ntlm_auth *a, bool unicode)
{
	return a->user_len > 0 &&
	    (a->user[0] != 0 || (unicode && a->user_len > 1 && a->user[1] != 0));
}

bool
ntlm_anonymous(const struct ntlm_auth *a)
{
	return !ntlm_names(a, a->unicode) && a->nt_len == 0 && a->lm_len <= 1;
}
