/* ask.h: one request to a running smbgate, and its answer */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <sys/types.h>

#include <jansson.h>

/*
 * Over the control socket at path. A new object; where smbgate does not answer
 * its "error" says why. NULL: out of memory.
 */
json_t *ask(const char *path, const json_t *request);
/* The process that has the socket; -1: none does. */
pid_t ask_pid(const char *path);

/*
 * The same, as far as the request: a socket from which the answer comes, or -1, and the error is
 * *answer.
 */
int ask_begin(const char *path, const json_t *request, json_t **answer);

#endif
