/* login.c: who we are to a Redis or a Sentinel: a user, and a password that may change */
#include "config.h"

#include "state/login.h"

#include "base/keyfile.h"

#include <string.h>

#define PASSWORD_MAX 512

/* With the password that the file has now; one that cannot be read is the one of the start. */
static const char *
password_now(const struct login *who, char now[PASSWORD_MAX])
{
	char why[KEYFILE_WHY];

	if (who->password_file != NULL &&
	    keyfile_line(who->password_file, NULL, now, PASSWORD_MAX, why) == 0)
		return now;
	return who->password;
}

/* FNV-1a: it never leaves the process. */
static uint64_t
mark_of(const char *password)
{
	uint64_t h = 14695981039346656037ull;

	for (const char *p = password; p != NULL && *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * 1099511628211ull;
	return h;
}

bool
login_send(const struct login *who, struct wire *w, wire_reply_f cb, void *arg, uint64_t *mark)
{
	char now[PASSWORD_MAX];
	const char *auth[3] = { "AUTH" }, *password = password_now(who, now);
	int n = 1;
	bool sent;

	*mark = mark_of(password);
	if (who->user != NULL)
		auth[n++] = who->user;
	if (password != NULL)
		auth[n++] = password;
	sent = password == NULL || wire_ask(w, n, auth, NULL, cb, arg);
	explicit_bzero(now, sizeof(now));
	return sent;
}

bool
login_changed(const struct login *who, uint64_t mark)
{
	char now[PASSWORD_MAX];
	bool changed = mark_of(password_now(who, now)) != mark;

	explicit_bzero(now, sizeof(now));
	return changed;
}
