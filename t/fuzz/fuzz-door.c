/* fuzz-door.c: libFuzzer target: a logon's token as it is read here, against how Samba reads it */
/* for: auth/spnego.c auth/ntlm.c */
#include "config.h"

#include "t/fuzz/samba.h"
#include "t/unit/lib/walkauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_ntlm(const struct token *t)
{
	return t->kind >= TOKEN_NTLM_NEGOTIATE;
}

/* libFuzzer gives data in a block of its size. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct token t = walk_token(data, size);
	const struct samba_read r = samba_reads(data, size);
	struct ntlm_auth a;

	/* A challenge is read wherever it ends. */
	(void)ntlm_challenge_unicode(data, size);
	/* What was read is what the node reads, or the node refuses it. */
	if (t.kind != TOKEN_UNREAD && samba_ntlm(&r))
		HOLDS(is_ntlm(&t) && t.p == r.token && t.len == r.len);
	if (t.kind > TOKEN_UNREAD)
		HOLDS(r.token != NULL && t.p >= r.token && t.p + t.len <= r.token + r.len);
	for (int unicode = 0; unicode < 2; unicode++)
		if (t.kind == TOKEN_NTLM_AUTHENTICATE && ntlm_auth_get(&a, t.p, t.len) == 0 &&
		    ntlm_names(&a, unicode != 0))
			HOLDS(samba_names_user(t.p, t.len, unicode != 0));
	return 0;
}
