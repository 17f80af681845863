/* explain_cases.h: the clients that somebody means, live or not, each with all that is its own */
#ifndef DAEMON_EXPLAIN_CASES_H
#define DAEMON_EXPLAIN_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "inspect/session_info.h"
#include "state/state.h"

struct conn_info;
struct lasts;
struct refusal;
struct sesstab;
struct who;

struct case_conn {
	struct state_key key;
	const struct conn_info *conn;
};

struct case_session {
	struct session_info info;	/* what it points to is its own */
	struct channel_info *channels;
	size_t n;
	struct case_session *next;
};

/* A client by its GUID and cluster; of those without a GUID, all behind one address. */
struct explain_case {
	struct state_key key;
	bool meant;
	const struct case_conn *conns;	/* n of them */
	size_t n;
	struct case_session *sessions;
	bool claimed;			/* there is a claim: */
	char node[64];			/* for that node */
	uint64_t left_ms;		/* as of state_each() */
	bool known;			/* without connections: where it came from last: */
	struct addrport last;
};

/* What is asked, and where it is looked for; all is borrowed for as long as the cases are. */
struct explain_search {
	const struct who *who;
	const struct conn_info *conns;
	size_t nconns;
	struct sesstab *sessions;
	struct state *claims;
	struct lasts *lasts;		/* NULL: nobody keeps them */
	const struct refusal *refused;
	size_t nrefused;
};

struct explain_cases {
	struct explain_case *all;	/* those that are meant, among others */
	size_t n, room, nsorted;
	struct case_conn *by_key, *by_id;
	size_t nconns;
	const struct explain_search *search;
	bool incomplete;		/* memory was out */
};

/* To be undone by explain_cases_fini() in any case. -1: memory is out. */
int explain_cases_find(struct explain_cases *c, const struct explain_search *s)
    __attribute__((warn_unused_result));
void explain_cases_fini(struct explain_cases *c);

/* Does who name this session by itself? */
bool explain_means_session(const struct who *who, const struct session_info *si,
    const struct channel_info *channels, size_t n);

/* Is it about that client, or a bind to one of its sessions? */
bool explain_case_refused(const struct explain_case *k, const struct refusal *r);

#endif
