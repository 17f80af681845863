/* found.h: a check while it is made, and what it has found */
#ifndef CTL_FOUND_H
#define CTL_FOUND_H

#include <stdbool.h>

#include <jansson.h>

#include "base/addr.h"

enum { CHECK_V4, CHECK_V6, CHECK_FAMILIES };

/* SKIP: it could not be looked at, and why; neither good nor bad. */
enum check_result { CHECK_OK, CHECK_WARN, CHECK_FAIL, CHECK_SKIP };

struct check {
	json_t *list;			/* of what was found */
	bool good;			/* nothing failed */
	const json_t *nodes;		/* of the policy */
	json_t *ruleset;		/* as nft lists it; NULL: it could not */
	/* Of IPv4 and of IPv6: */
	bool intercepts[CHECK_FAMILIES], as_client[CHECK_FAMILIES];
	bool routed[CHECK_FAMILIES];	/* its routes have been looked at */
	bool has_client[CHECK_FAMILIES];
	struct addr client[CHECK_FAMILIES];
};

/*
 * Adds what was found. id: which check it is; what: of whom; fix: what helps where it is not OK, or
 * NULL.
 */
void check_found(struct check *c, const char *id, enum check_result result, const char *what,
    const char *fix, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same of a gateway's surroundings, where what helps is part of the text. */
void check_note(struct check *c, bool good, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
