/* ctl_later.h: what a request is answered at once, and what later */
#ifndef DAEMON_CTL_LATER_H
#define DAEMON_CTL_LATER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/json.h"
#include "daemon/view.h"
#include "inspect/who.h"
#include "proxy/tap.h"

struct census_found;
struct conn_info;
struct ctl_env;
struct policy;

/*
 * A request that wants the connections of all workers before it can be answered, or one whose
 * answer goes on for a while behind its first line, or to the end of smbgate.
 */
struct ctl_later {
	/* The answer, made on the scribe's thread: it may take long. One of the two, or none: */
	json_t *(*report)(const struct ctl_env *env, const struct ctl_later *l,
	    const struct conn_info *conns, size_t n);
	bool no_conns;			/* and it needs none of them */
	bool order;			/* it is short, and of what somebody has had done */
	/* it is made on the main thread, of clients that were put together apart */
	json_t *(*meet)(const struct ctl_env *env, const struct ctl_later *l,
	    const struct census_found *found);
	struct view view;		/* what is to be shown */
	struct policy *policy;		/* in force when the answer is begun */
	uid_t by;			/* who asks */
	bool force;			/* of kill and move */
	struct who who;			/* the same, and of explain */
	char node[64];			/* of move and progress; of explain the listener */
	uint64_t for_ms;		/* 0: that is all of the answer; else: */
	struct tap_want tap;
	bool to_the_end;		/* of stop: another line is to come when smbgate ends */
};

/* An error: where they ask again, they reach who is to know it. */
#define CTL_ELSEWHERE "another process has taken over: ask again"
#define CTL_TAKING_OVER "another process is taking over right now: ask again"

/* {"error": text} */
static inline json_t *
ctl_error(const char *text)
{
	json_t *o = json_object();

	jset_text(o, "error", text);
	return o;
}

#endif
