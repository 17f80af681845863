/* view.h: pure: which rows of an answer somebody wants, in which order, and how many */
#ifndef DAEMON_VIEW_H
#define DAEMON_VIEW_H

#include <stddef.h>

#include "daemon/json.h"
#include "inspect/filter.h"

#define VIEW_SORT 32

/* All zeros: every row, as it comes. */
struct view {
	struct filter filter;
	char sort[VIEW_SORT];		/* a key of the rows, or "bytes"; "": none */
	size_t limit;			/* 0: none */
};

/*
 * What a request says by its keys: node, client, user, listener, protection, live, lingering, sort,
 * limit. 0, or -1 and a static text for people.
 */
int view_parse(struct view *v, const json_t *request, const char **why)
    __attribute__((warn_unused_result));

/*
 * Sorts the rows of that key of an answer, cuts them off, and says in "matched" how many there
 * were. Texts and addresses begin with the least, numbers and lists with the most; what a row does
 * not have is last.
 */
void view_apply(const struct view *v, json_t *answer, const char *key);

#endif
