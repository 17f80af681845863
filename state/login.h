/* login.h: who we are to a Redis or a Sentinel: a user, and a password that may change */
#ifndef STATE_LOGIN_H
#define STATE_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "state/wire.h"

/* NULL: none. password: as it was at the start; the file is read again for each connection. */
struct login {
	const char *user, *password, *password_file;
};

/*
 * AUTH, if there is a password. *mark tells that password from others. False when memory is out.
 */
bool login_send(const struct login *who, struct wire *w, wire_reply_f cb, void *arg,
    uint64_t *mark);
/* Has the file another password now than that of mark? */
bool login_changed(const struct login *who, uint64_t mark);

#endif
