/* session_look.c: the sessions of a connection, looked at by whoever describes it */
#include "config.h"

#include "inspect/filter.h"
#include "inspect/session.h"
#include "inspect/session_rows.h"

#include <stdio.h>

enum session_protection
channel_look(struct sesstab *t, const struct channel *c, char user[SESSION_TEXT_MAX])
{
	const struct session_info *si = &c->session->info;
	struct shard *sh = session_shard(t, si->session_id);
	enum session_protection p;
	const char *name;

	pthread_mutex_lock(&sh->lock);
	name = session_info_user(si);
	snprintf(user, SESSION_TEXT_MAX, "%s", name == NULL ? "" : name);
	p = session_protection(si);
	pthread_mutex_unlock(&sh->lock);
	return p;
}

bool
channel_wanted(struct sesstab *t, const struct channel *c, const struct filter *f)
{
	const struct session_info *si = &c->session->info;
	struct shard *sh = session_shard(t, si->session_id);
	bool wanted;

	pthread_mutex_lock(&sh->lock);
	wanted = filter_session(f, session_info_user(si), session_protection(si));
	pthread_mutex_unlock(&sh->lock);
	return wanted;
}
