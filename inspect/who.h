/* who.h: pure: a client, a connection, a session or a user, as people name them */
#ifndef INSPECT_WHO_H
#define INSPECT_WHO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/guid.h"

/*
 *	conn:12					that connection
 *	10.1.0.7  fd00::7  10.1.0.0/24		a client's address, or a prefix of them
 *	10.1.0.7:50122  [fd00::7]:50122		the connection from there
 *	xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx	a ClientGuid
 *	0x1f  000000000000001f  1f		a session's id, in hexadecimal
 *	anna  anna@REALM  DOMAIN\anna		a user
 *
 * What is printed anywhere is read here. Digits and letters up to f may be a user's name as well,
 * and mean both.
 */
enum who_kind { WHO_CONN, WHO_PREFIX, WHO_END, WHO_GUID, WHO_SESSION, WHO_NAME };

/* Room for the longest name with its NUL. */
#define WHO_TEXT 256

struct who {
	enum who_kind kind;
	bool bare;			/* SESSION: without 0x, so it may be a NAME */
	uint64_t number;		/* CONN, SESSION */
	struct prefix prefix;
	struct addrport end;
	struct guid guid;
	char text[WHO_TEXT];		/* as it was given */
};

/* 0, or -1 and a static text for people. text may be NULL. */
int who_parse(struct who *w, const char *text, const char **why)
    __attribute__((warn_unused_result));

/* Each is false for what it cannot tell. */
bool who_is_client(const struct who *w, const struct addrport *client, const struct guid *guid);
bool who_is_conn(const struct who *w, uint64_t conn_id);
bool who_is_session(const struct who *w, uint64_t session_id);
/*
 * The whole of a user's name (user@REALM or DOMAIN\user), or all of it but the realm or domain, in
 * any case. NULL and "": not known.
 */
bool who_is_user(const struct who *w, const char *user);
/* The same, or any part of it. */
bool who_is_like_user(const struct who *w, const char *user);

/* Can there be one connection alone of that name, ever? */
bool who_is_one(const struct who *w);
/* Does it go by sessions or users, so that more than a connection's ends must be looked at? */
bool who_has_logged_on(const struct who *w);

#endif
