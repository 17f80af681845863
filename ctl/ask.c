/* ask.c: one request to a running smbgate, and its answer */
#include "config.h"

#include "ctl/ask.h"

#include "ctl/failure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Longer than smbgate takes to report that a worker does not answer. */
#define ANSWER_S 30
/* Where one upgrade follows another. */
#define AGAIN 5

/* -1: *answer is the reason. */
static int
ask_connect(const char *path, json_t **answer)
{
	const struct timeval wait = { ANSWER_S, 0 };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		*answer = failure("%s: too long for the path of a socket", path);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1) {
		*answer = failure("%s", strerror(errno));
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == -1) {
		int err = errno;

		*answer = failure("cannot connect to %s: %s%s", path, strerror(err),
		    err == ENOENT || err == ECONNREFUSED ? "; is smbgate running?" : "");
		close(fd);
		return -1;
	}
	return fd;
}

/* As one line. -1: *answer is the reason. */
static int
ask_send(int fd, const json_t *request, json_t **answer)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	ssize_t n;
	int len;

	len = text == NULL ? -1 : asprintf(&line, "%s\n", text);
	free(text);
	if (len == -1) {
		*answer = failure("out of memory");
		return -1;
	}
	n = send(fd, line, (size_t)len, MSG_NOSIGNAL);
	free(line);
	if (n != len) {
		*answer = failure("cannot send the request: %s",
		    strerror(n == -1 ? errno : EMSGSIZE));
		return -1;
	}
	return 0;
}

/* Everything up to the end, or the reason why there is none; takes over fd. */
static json_t *
ask_read(int fd)
{
	FILE *f = fdopen(fd, "r");
	json_error_t why;
	json_t *answer;

	if (f == NULL) {
		answer = failure("%s", strerror(errno));
		close(fd);
		return answer;
	}
	errno = 0;
	answer = json_loadf(f, 0, &why);
	if (answer == NULL && ferror(f))
		answer = failure("no answer: %s",
		    errno == EAGAIN ? "smbgate takes too long" : strerror(errno));
	else if (answer == NULL)
		answer = failure("the answer is not JSON: %s", why.text);
	fclose(f);
	return answer;
}

int
ask_begin(const char *path, const json_t *request, json_t **answer)
{
	int fd = ask_connect(path, answer);

	if (fd != -1 && ask_send(fd, request, answer) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

static json_t *
ask_once(const char *path, const json_t *request)
{
	json_t *answer = NULL;
	int fd = ask_begin(path, request, &answer);

	return fd == -1 ? answer : ask_read(fd);
}

/* Another process serves by now, and nothing was done. Who is to stop may not be that one. */
static bool
is_elsewhere(const json_t *request, const json_t *answer)
{
	const char *cmd = json_string_value(json_object_get(request, "cmd"));

	return json_is_true(json_object_get(answer, "again")) &&
	    (cmd == NULL || strcmp(cmd, "stop") != 0);
}

json_t *
ask(const char *path, const json_t *request)
{
	json_t *answer = ask_once(path, request);

	for (int i = 0; i < AGAIN && is_elsewhere(request, answer); i++) {
		json_decref(answer);
		answer = ask_once(path, request);
	}
	return answer;
}

pid_t
ask_pid(const char *path)
{
	json_t *why = NULL;
	int fd = ask_connect(path, &why);
	struct ucred peer = { .pid = -1 };
	socklen_t len = sizeof(peer);

	json_decref(why);
	if (fd == -1)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
		peer.pid = -1;
	close(fd);
	return peer.pid;
}
