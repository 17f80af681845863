/* http_answer.h: what is answered to each path over HTTP */
#ifndef DAEMON_HTTP_ANSWER_H
#define DAEMON_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

struct ctl_env;
struct history;
struct process;

/* An answer; the body is the caller's to free, NULL: memory was out. */
struct http_answer {
	int status;
	const char *type;
	char *body;
	size_t len;
	char csp[160];			/* Content-Security-Policy */
};

/* What may be seen, and of what. */
struct http_view {
	const struct ctl_env *env;
	const struct process *process;
	const struct history *history;
};

/* Does an answer to this path take so little that it need not wait for its turn? */
bool http_path_is_light(const char *path);
struct http_answer http_answer(const struct http_view *v, const char *path);
/* A text and a newline. */
struct http_answer http_say(int status, const char *text);
const char *http_status_str(int status);

#endif
