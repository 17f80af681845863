/* ctl_request.h: the requests of the control socket, and what each is answered */
#ifndef DAEMON_CTL_REQUEST_H
#define DAEMON_CTL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/json.h"

struct ctl_env;
struct ctl_later;

/*
 * Carries out one request, a line of JSON, of a peer who is that user: root and smbgate's own user
 * may ask everything, others may look. Its answer, for the caller; an error is an answer, too.
 * NULL: memory is out, or *later says what makes the answer.
 */
json_t *ctl_request(const struct ctl_env *env, uid_t uid, const char *line, size_t len,
    struct ctl_later *later);

#endif
