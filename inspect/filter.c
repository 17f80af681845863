/* filter.c: pure: which clients, connections and sessions somebody wants to see */
#include "config.h"

#include "inspect/filter.h"

#include <stdio.h>
#include <string.h>

static int
name_parse(char dst[64], const char *text, const char **why)
{
	if (text == NULL)
		return 0;
	if (text[0] == '\0' || strlen(text) >= 64) {
		*why = "no node and no listener has a name like that";
		return -1;
	}
	snprintf(dst, 64, "%s", text);
	return 0;
}

static int
protection_parse(struct filter *f, const char *text, const char **why)
{
	if (text == NULL)
		return 0;
	f->has_protection = true;
	for (int p = 0; p < SESSION_PROTECTIONS; p++) {
		f->protection = (enum session_protection)p;
		if (strcmp(session_protection_str(f->protection), text) == 0)
			return 0;
	}
	*why = "protection is keyed, unsigned or opaque";
	return -1;
}

static int
client_parse(struct filter *f, const char *text, const char **why)
{
	if (text == NULL)
		return 0;
	f->has_client = true;
	if (who_parse(&f->client, text, why) == -1)
		return -1;
	if (f->client.kind == WHO_PREFIX || f->client.kind == WHO_END ||
	    f->client.kind == WHO_GUID)
		return 0;
	*why = "a client is an address, a prefix or a GUID";
	return -1;
}

/* A name may look like anything. */
static int
user_parse(struct filter *f, const char *text, const char **why)
{
	if (text == NULL)
		return 0;
	f->has_user = true;
	f->user = (struct who){ .kind = WHO_NAME };
	if (text[0] == '\0' || strlen(text) >= sizeof(f->user.text)) {
		*why = "no user has a name like that";
		return -1;
	}
	snprintf(f->user.text, sizeof(f->user.text), "%s", text);
	return 0;
}

int
filter_parse(struct filter *f, const struct filter_words *w, const char **why)
{
	*f = (struct filter){ .life = w->live ? FILTER_LIVE
		: w->lingering                ? FILTER_LINGERING
		                              : FILTER_ALL };
	if (w->live && w->lingering) {
		*why = "nothing is live and lingers";
		return -1;
	}
	if (name_parse(f->node, w->node, why) == -1 ||
	    name_parse(f->listener, w->listener, why) == -1 ||
	    client_parse(f, w->client, why) == -1 || user_parse(f, w->user, why) == -1)
		return -1;
	return protection_parse(f, w->protection, why);
}

bool
filter_node(const struct filter *f, const char *node)
{
	return f->node[0] == '\0' || (node != NULL && strcmp(f->node, node) == 0);
}

bool
filter_has_ends(const struct filter *f)
{
	return f->has_client || f->listener[0] != '\0';
}

bool
filter_ends(const struct filter *f, const struct addrport *client, const struct guid *guid,
    const char *listener)
{
	if (f->listener[0] != '\0' && (listener == NULL || strcmp(f->listener, listener) != 0))
		return false;
	return !f->has_client || who_is_client(&f->client, client, guid);
}

bool
filter_has_session(const struct filter *f)
{
	return f->has_user || f->has_protection;
}

bool
filter_session(const struct filter *f, const char *user, enum session_protection p)
{
	return (!f->has_protection || f->protection == p) &&
	    (!f->has_user || who_is_user(&f->user, user));
}

bool
filter_life(const struct filter *f, bool lingers)
{
	return f->life == FILTER_ALL || lingers == (f->life == FILTER_LINGERING);
}
