/* identity.c: who the client machine behind a connection is, told by the names in its logons */
#include "config.h"

#include "inspect/identity.h"

#include "auth/keyhash.h"
#include "auth/ntlm.h"
#include "auth/spnego.h"
#include "smb/sess1.h"

#include <string.h>

/* Longer names than NetBIOS, DNS and directories have are cut, which harms nobody. */
#define NAME_MAX_BYTES 512

static uint8_t
upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c;
}

/* As UTF-16LE in upper case; returns the bytes used. */
static size_t
fold(uint8_t dst[NAME_MAX_BYTES], const uint8_t *p, size_t n, bool unicode)
{
	size_t used = 0, unit = unicode ? 2 : 1;

	for (size_t i = 0; i + unit <= n && used + 2 <= NAME_MAX_BYTES; i += unit) {
		uint8_t high = unicode ? p[i + 1] : 0;

		dst[used++] = high == 0 ? upper(p[i]) : p[i];
		dst[used++] = high;
	}
	return used;
}

/* Of a and b together; 0 where a is empty. */
static uint64_t
name_hash(struct keyhash *h, const uint8_t *a, size_t an, const uint8_t *b, size_t bn, bool unicode)
{
	uint8_t x[NAME_MAX_BYTES], y[NAME_MAX_BYTES];
	size_t xn = fold(x, a, an, unicode), yn = fold(y, b, bn, unicode);
	uint64_t v;

	if (xn == 0)
		return 0;
	/* "ab" of "c" is not "a" of "bc". */
	if (yn + 2 <= NAME_MAX_BYTES) {
		memmove(y + 2, y, yn);
		y[0] = y[1] = 0;
		yn += 2;
	}
	v = keyhash(h, x, xn, y, yn);
	return v == 0 ? 1 : v;
}

void
identity_token(struct identity *id, struct keyhash *h, const struct token *t)
{
	struct identity found = { 0 };
	struct ntlm_auth a;

	if (t->kind != TOKEN_NTLM_AUTHENTICATE || ntlm_auth_get(&a, t->p, t->len) == -1 ||
	    ntlm_anonymous(&a))
		return;
	found.machine = name_hash(h, a.workstation, a.workstation_len, NULL, 0, a.unicode);
	found.principal = name_hash(h, a.user, a.user_len, a.domain, a.domain_len, a.unicode);
	identity_take(id, &found);
}

void
identity_sess1(struct identity *id, struct keyhash *h, const struct sess1_req *s)
{
	struct token t;

	if (s->blob != NULL) {
		t = spnego_token(s->blob, s->blob_len);
		identity_token(id, h, &t);
	} else if (s->account != NULL && s->account_len > 0) {
		id->principal = name_hash(h, s->account, s->account_len, s->domain, s->domain_len,
		    s->unicode);
	}
}

void
identity_machine(struct identity *id, struct keyhash *h, const char *name)
{
	if (name[0] != '\0')
		id->machine = name_hash(h, (const uint8_t *)name, strlen(name), NULL, 0, false);
}

void
identity_principal(struct identity *id, struct keyhash *h, const char *principal)
{
	const char *at = strrchr(principal, '@');
	size_t n = at == NULL ? strlen(principal) : (size_t)(at - principal);

	if (n == 0)
		return;
	id->principal = name_hash(h, (const uint8_t *)principal, n,
	    (const uint8_t *)(at == NULL ? "" : at + 1), at == NULL ? 0 : strlen(at + 1), false);
	/* [MS-ADTS] 3.1.1.3.2: a computer's account is its NetBIOS name and a dollar sign. */
	if (n > 1 && principal[n - 1] == '$')
		id->machine = name_hash(h, (const uint8_t *)principal, n - 1, NULL, 0, false);
}

void
identity_take(struct identity *id, const struct identity *from)
{
	if (from->machine != 0)
		id->machine = from->machine;
	if (from->principal != 0)
		id->principal = from->principal;
}
