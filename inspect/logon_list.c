/* logon_list.c: the logons under way on one connection, found, and forgotten when given up */
#include "config.h"

#include "inspect/logon.h"

#include "auth/keyx.h"
#include "base/clock.h"
#include "inspect/logon_priv.h"

#include <stdlib.h>

void
logon_drop(struct logon *x)
{
	LIST_REMOVE(x, entry);
	MAGIC_CLEAR(x);
	x->all->n--;
	x->all->bytes -= x->bytes;
	keyx_free(&x->keyx);
	buf_fini(&x->unhashed);
	buf_fini(&x->pieces);
	free(x);
}

bool
logons_forgotten(const struct logons *l, uint64_t session_id)
{
	bool is = l->forgot;

	for (unsigned i = 0; !is && l->forgotten != NULL && i < l->forgotten->n; i++)
		is = l->forgotten->session_id[i] == session_id;
	return is;
}

/* -1: there is no room. */
static int
remember(struct logons *l, uint64_t session_id)
{
	const unsigned n = l->forgotten == NULL ? 0 : l->forgotten->n;
	struct logons_forgotten *f = n == LOGONS_MAX
	    ? NULL
	    : realloc(l->forgotten, sizeof(*f) + (n + 1) * sizeof(f->session_id[0]));

	if (f == NULL)
		return -1;
	f->session_id[n] = session_id;
	f->n = n + 1;
	l->forgotten = f;
	return 0;
}

/*
 * What goes on with it will be taken for a beginning. A new session's is known by its number; a
 * bind and a reauthentication have theirs from the first.
 */
void
logon_forget(struct logon *x)
{
	struct logons *l = x->all;

	if ((x->binding || x->again) && !logons_forgotten(l, x->session_id) &&
	    remember(l, x->session_id) == -1)
		l->forgot = true;
	logon_drop(x);
}

struct logon *
logon_by_session(const struct logons *l, uint64_t session_id, bool binding)
{
	struct logon *x;

	if (session_id == 0)
		return NULL;
	LIST_FOREACH(x, &l->list, entry)
		if (x->session_id == session_id && x->binding == binding)
			return x;
	return NULL;
}

struct logon *
logon_by_message(const struct logons *l, uint64_t message_id)
{
	struct logon *x;

	LIST_FOREACH(x, &l->list, entry)
		if (x->asked && x->message_id == message_id)
			return x;
	return NULL;
}

struct logon *
logon_oldest(const struct logons *l, bool in_pieces)
{
	struct logon *x, *oldest = NULL;

	LIST_FOREACH(x, &l->list, entry)
		if (x->waits_since_us == 0 && (!in_pieces || buf_len(&x->pieces) > 0))
			oldest = x;
	return oldest;
}

void
logons_expire(struct logons *l, uint64_t now_ms)
{
	struct logon *x;

	while ((x = logon_oldest(l, false)) != NULL && now_ms >= x->heard_ms + LOGON_AGE_MS)
		logon_forget(x);
}

void
logon_heard(struct logon *x)
{
	x->heard_ms = clock_ms();
	LIST_REMOVE(x, entry);
	LIST_INSERT_HEAD(&x->all->list, x, entry);
}

void
logon_account(struct logon *x)
{
	const uint32_t now = (uint32_t)(buf_len(&x->unhashed) + buf_len(&x->pieces));

	x->all->bytes += now - x->bytes;
	x->bytes = now;
}

void
logons_refused(struct logons *l, uint64_t message_id)
{
	struct logon *x = logon_by_message(l, message_id);

	if (x == NULL)
		return;
	if (!x->begun) {
		logon_drop(x);
		return;
	}
	x->asked = false;
	x->lost = true;
	x->because = "a part of its logon was refused";
}

const struct caller *
logons_caller(const struct logons *l, uint64_t message_id)
{
	const struct logon *x = logon_by_message(l, message_id);

	return x == NULL ? NULL : &x->by;
}

void
logons_drop(struct logons *l, uint64_t message_id)
{
	struct logon *x = logon_by_message(l, message_id);

	if (x != NULL)
		logon_drop(x);
}

bool
logons_binding(const struct logons *l, uint64_t session_id)
{
	return logon_by_session(l, session_id, true) != NULL || logons_forgotten(l, session_id);
}

const char *
logons_user(const struct logons *l)
{
	const struct logon *x;

	LIST_FOREACH(x, &l->list, entry)
		if (x->by.user[0] != '\0')
			return x->by.user;
	return "";
}
