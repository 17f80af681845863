/* link_conf.h: where Redis is, who we are there, and how the way to it is protected */
#ifndef STATE_LINK_CONF_H
#define STATE_LINK_CONF_H

#include <stddef.h>

#include "state/login.h"
#include "state/wire.h"

#define LINK_SERVERS_MAX 16

struct link_conf {
	struct wire_server servers[LINK_SERVERS_MAX];
	size_t nservers;
	const char *sentinel;		/* the master's name: servers are Sentinels; NULL: Redis */
	struct login at, at_sentinel;
	const struct wire_tls *tls;	/* NULL: plain */
	unsigned timeout_ms;		/* for one question, all in all */
};

#endif
