/* whose.c: is it the connection of somebody whom people have named? */
#include "config.h"

#include "inspect/whose.h"

#include "inspect/caller.h"
#include "inspect/smb1.h"

#include <string.h>

struct asked {
	struct sesstab *sessions;
	const struct who *who;
};

static bool
is_of(const void *arg, const struct channel *c)
{
	const struct asked *a = arg;

	return channel_is_of(a->sessions, c, a->who);
}

bool
whose_is(const struct who *w, const struct mediate *m, const struct guid *guid)
{
	const struct asked a = { m->env->sessions, w };

	if (who_is_conn(w, m->self.conn_id) || who_is_client(w, &m->self.client, guid))
		return true;
	if (!who_has_logged_on(w))
		return false;
	if (m->smb1 != NULL)
		return who_is_user(w, smb1_caller(m->smb1)->user);
	return chantab_has(&m->track.channels, is_of, &a);
}
