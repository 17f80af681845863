/* door.c: reads tokens in hex, a line each, and says what smbgate and Samba's rules make of them */
#include "config.h"

#include "auth/ntlm.h"
#include "auth/spnego.h"
#include "t/fuzz/samba.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t
unhex(uint8_t *out, const char *line)
{
	size_t n = 0;
	unsigned v;

	while (sscanf(line + 2 * n, "%2x", &v) == 1)
		out[n++] = (uint8_t)v;
	return n;
}

/* Is a user named, in the one character set and in the other? */
static void
names(const char *what, bool oem, bool unicode)
{
	printf(" %s=%d%d", what, oem, unicode);
}

static void
say(const uint8_t *p, size_t n)
{
	static const char *const kinds[] = { "none", "unread", "ap-req", "ap-rep", "krb-error",
		"ntlm1", "ntlm2", "ntlm3" };
	static const char *const as[] = { "refused", "init", "resp", "raw" };
	const struct token t = spnego_token(p, n);
	const struct samba_read r = samba_reads(p, n);
	struct ntlm_auth a;
	bool good = ntlm_auth_get(&a, t.p, t.len) == 0;

	printf("%s %d %zu %s %d %zu", kinds[t.kind], t.p == NULL ? -1 : (int)(t.p - p), t.len,
	    as[r.as], r.token == NULL ? -1 : (int)(r.token - p), r.len);
	if (t.kind == TOKEN_NTLM_AUTHENTICATE) {
		names("ours", good && ntlm_names(&a, false), good && ntlm_names(&a, true));
		names("samba", samba_names_user(t.p, t.len, false),
		    samba_names_user(t.p, t.len, true));
	}
	putchar('\n');
}

int
main(void)
{
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, stdin) > 0) {
		uint8_t *p = malloc(strlen(line) / 2 + 1), *exact;
		const size_t n = unhex(p, line);

		exact = malloc(n);
		if (n > 0)
			memcpy(exact, p, n);
		say(exact, n);
		free(exact);
		free(p);
	}
	free(line);
	return 0;
}
