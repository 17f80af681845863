/* filter.h: pure: which clients, connections and sessions somebody wants to see */
#ifndef INSPECT_FILTER_H
#define INSPECT_FILTER_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/guid.h"
#include "inspect/session_info.h"
#include "inspect/who.h"

enum filter_life { FILTER_ALL, FILTER_LIVE, FILTER_LINGERING };

/* All zeros: everything is wanted. */
struct filter {
	char node[64], listener[64];	/* "": any */
	bool has_client, has_user, has_protection;
	struct who client, user;
	enum session_protection protection;
	enum filter_life life;
	bool clients;			/* of connections, all of a client may matter */
	bool nobody;			/* whoever asks wants to be heard by the workers alone */
};

/* As they were typed; NULL: no matter. */
struct filter_words {
	const char *node, *client, *user, *listener, *protection;
	bool live, lingering;
};

/* 0, or -1 and a static text for people. */
int filter_parse(struct filter *f, const struct filter_words *w, const char **why)
    __attribute__((warn_unused_result));

/*
 * Each says whether that much of it is wanted: the node ("" or NULL: none), one connection's client
 * and listener (NULL: not known), one session's user (NULL or "": not known) and protection.
 * Whatever has several connections or sessions is wanted if one of each is.
 */
bool filter_node(const struct filter *f, const char *node);
bool filter_ends(const struct filter *f, const struct addrport *client, const struct guid *guid,
    const char *listener);
bool filter_session(const struct filter *f, const char *user, enum session_protection p);
bool filter_life(const struct filter *f, bool lingers);

/* May filter_ends(), or filter_session(), ever be false? */
bool filter_has_ends(const struct filter *f);
bool filter_has_session(const struct filter *f);

#endif
