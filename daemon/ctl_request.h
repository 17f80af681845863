/* ctl_request.h: the requests of the control socket, and what each is answered */
#ifndef DAEMON_CTL_REQUEST_H
#define DAEMON_CTL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/json.h"

struct conn_info;
struct ctl_env;

/* A request that wants the connections of all workers before it can be answered. */
struct ctl_later {
	/* NULL: the answer is there. */
	json_t *(*report)(const struct ctl_env *env, const struct ctl_later *l,
	    const struct conn_info *conns, size_t n);
	bool describe;			/* what each counter means, too */
};

/*
 * Carries out one request, a line of JSON. Its answer, for the caller; an error is an answer, too.
 * NULL: memory is out, or *later says what makes the answer.
 */
json_t *ctl_request(const struct ctl_env *env, const char *line, size_t len,
    struct ctl_later *later);

/* {"error": text} */
json_t *ctl_error(const char *text);

#endif
