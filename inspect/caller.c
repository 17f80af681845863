/* caller.c: who has logged on, from which machine, and how, in words: for people */
#include "config.h"

#include "inspect/caller.h"

#include "auth/ntlm.h"
#include "auth/spnego.h"
#include "inspect/mech.h"
#include "smb/sess1.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The length of a response that is no NTLMv2, [MS-NLMP] 2.2.2.3 and 2.2.2.6. */
#define RESPONSE_LEN 24

/* Room for one more character and the NUL. */
#define CHAR_MAX_BYTES 5

/* Appends c as UTF-8. What would not be a character of a name is a question mark. */
static size_t
put_char(char *dst, size_t n, uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000))
		c = '?';
	if (c < 0x80) {
		dst[n++] = (char)c;
	} else if (c < 0x800) {
		dst[n++] = (char)(0xc0 | c >> 6);
		dst[n++] = (char)(0x80 | (c & 0x3f));
	} else {
		dst[n++] = (char)(0xe0 | c >> 12);
		dst[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		dst[n++] = (char)(0x80 | (c & 0x3f));
	}
	return n;
}

/* Appends a name, UTF-16LE or of a code page that nobody tells; returns where it ends. */
static size_t
put_name(char *dst, size_t n, size_t cap, const uint8_t *p, size_t len, bool unicode)
{
	const size_t unit = unicode ? 2 : 1;

	for (size_t i = 0; i + unit <= len && n + CHAR_MAX_BYTES <= cap; i += unit)
		n = put_char(dst, n, unicode ? (uint32_t)(p[i] | p[i + 1] << 8)
		        : p[i] < 0x80        ? p[i]
		                             : '?');
	dst[n] = '\0';
	return n;
}

static void
put_user(struct caller *c, const uint8_t *domain, size_t domain_len, const uint8_t *user,
    size_t user_len, bool unicode)
{
	size_t n = put_name(c->user, 0, sizeof(c->user) / 2, domain, domain_len, unicode);

	if (n > 0)
		c->user[n++] = '\\';
	put_name(c->user, n, sizeof(c->user), user, user_len, unicode);
}

static enum caller_how
hashed(size_t nt_len, size_t lm_len)
{
	if (nt_len > RESPONSE_LEN)
		return CALLER_NTLMV2;
	if (nt_len == RESPONSE_LEN)
		return CALLER_NTLMV1;
	return nt_len == 0 && lm_len == RESPONSE_LEN ? CALLER_LM : CALLER_PLAIN;
}

static void
caller_unnamed(struct caller *c, enum caller_how how)
{
	c->how = (uint8_t)how;
	c->user[0] = c->machine[0] = '\0';
}

void
caller_token(struct caller *c, const struct token *t, const struct ntlm_auth *a)
{
	if (t->kind == TOKEN_AP_REQ)
		caller_unnamed(c, CALLER_KERBEROS);
	if (a == NULL)
		return;
	if (ntlm_anonymous(a)) {
		caller_unnamed(c, CALLER_NOBODY);
		return;
	}
	c->how = (uint8_t)hashed(a->nt_len, a->lm_len);
	put_user(c, a->domain, a->domain_len, a->user, a->user_len, a->unicode);
	put_name(c->machine, 0, sizeof(c->machine), a->workstation, a->workstation_len,
	    a->unicode);
}

void
caller_sess1(struct caller *c, const struct sess1_req *r)
{
	struct ntlm_auth a;
	struct token t;

	if (r->blob != NULL) {
		t = spnego_token(r->blob, r->blob_len);
		caller_token(c, &t, mech_ntlm(&t, &a));
		return;
	}
	if (r->account == NULL || r->account_len == 0) {
		caller_unnamed(c, CALLER_NOBODY);
		return;
	}
	c->how = (uint8_t)hashed(r->nt_len, r->lm_len);
	put_user(c, r->domain, r->domain == NULL ? 0 : r->domain_len, r->account, r->account_len,
	    r->unicode);
}

const char *
caller_how_str(enum caller_how how)
{
	switch (how) {
	case CALLER_UNKNOWN:
		return NULL;
	case CALLER_KERBEROS:
		return "Kerberos";
	case CALLER_NTLMV2:
		return "NTLMv2";
	case CALLER_NTLMV1:
		return "NTLMv1";
	case CALLER_LM:
		return "LM";
	case CALLER_PLAIN:
		return "plaintext";
	case CALLER_NOBODY:
		return "anonymous";
	}
	return NULL;
}
