/* explain.h: pure: why a client uses, or does not use, several channels */
#ifndef DAEMON_EXPLAIN_H
#define DAEMON_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct channel_info;
struct policy;
struct refusal;
struct session_info;

enum explain_code {
#define REASON(code, blocks, fix) EXPLAIN_##code,
#include "daemon/explain.tbl.h"
#undef REASON
	EXPLAIN_CODES
};

const char *explain_code_str(enum explain_code c);

/* All that the judgement depends on. */
struct explain_facts {
	const struct policy *policy;		/* in force */
	const char *policy_name;		/* of its file */
	bool keytab;				/* smbgate has one */

	/* The session that is judged, and its channels; NULL: nobody has logged on. */
	const struct session_info *session;
	const struct channel_info *channels;
	size_t nchannels;
	const char *listener;			/* that it came by; "": not known */

	/* Of the client. */
	bool smb1;
	bool zero_guid;
	bool unreadable;			/* messages have passed that smbgate cannot read */
	uint16_t dialect;			/* without a session; 0: not known */
	size_t connections;
	uint64_t linger_s;			/* without these: its claim is kept so long */
	/* What was refused to it, and binds to its session, the newest first. */
	const struct refusal *const *refused;
	size_t nrefused;
};

/* "policy.conf:12"; "": there is no such line. */
#define EXPLAIN_WHERE 96

struct explain_reason {
	enum explain_code code;
	bool blocks;
	const char *fix;		/* what to do; NULL: nothing */
	const char *cause;		/* of opaque; NULL: one that has no word */
	uint64_t at_ms;			/* since when; 0: not known */
	char where[EXPLAIN_WHERE];
	char text[384];
};

/*
 * Every reason that holds, the weightiest first; how many, at least one. The first that blocks is
 * the verdict, or if there is none, the first or last: on or nothing_in_the_way.
 */
size_t explain(const struct explain_facts *f, struct explain_reason dst[EXPLAIN_CODES]);
const struct explain_reason *explain_verdict(const struct explain_reason *r, size_t n);

/* The line of policy by which an address is allowed, or not; "": by none. */
void explain_where_rule(const struct policy *p, const char *policy_name, const struct addr *a,
    char dst[EXPLAIN_WHERE]);
/* Why the session's client was not told it; "": by no line. */
void explain_where_removed(const struct explain_facts *f, const struct addr *a,
    char dst[EXPLAIN_WHERE]);
/* That line of a file. */
void explain_where_line(const char *path, int line, char dst[EXPLAIN_WHERE]);

#endif
