/* ask.c: one request to a running smbgate, and its answer */
#include "config.h"

#include "ctl/ask.h"

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

/* -1: the reason is on stderr. */
static int
ask_connect(const char *path)
{
	const struct timeval wait = { ANSWER_S, 0 };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		fprintf(stderr, "smbgatectl: %s: too long for the path of a socket\n", path);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1) {
		fprintf(stderr, "smbgatectl: %s\n", strerror(errno));
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == -1) {
		int err = errno;

		fprintf(stderr, "smbgatectl: cannot connect to %s: %s%s\n", path, strerror(err),
		    err == ENOENT || err == ECONNREFUSED ? "; is smbgate running?" : "");
		close(fd);
		return -1;
	}
	return fd;
}

/* As one line. -1: the reason is on stderr. */
static int
ask_send(int fd, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	ssize_t n;
	int len;

	len = text == NULL ? -1 : asprintf(&line, "%s\n", text);
	free(text);
	if (len == -1) {
		fputs("smbgatectl: out of memory\n", stderr);
		return -1;
	}
	n = send(fd, line, (size_t)len, MSG_NOSIGNAL);
	free(line);
	if (n != len) {
		fprintf(stderr, "smbgatectl: cannot send the request: %s\n",
		    strerror(n == -1 ? errno : EMSGSIZE));
		return -1;
	}
	return 0;
}

/* Everything up to the end; takes over fd. NULL: the reason is on stderr. */
static json_t *
ask_read(int fd)
{
	FILE *f = fdopen(fd, "r");
	json_error_t why;
	json_t *answer;

	if (f == NULL) {
		fprintf(stderr, "smbgatectl: %s\n", strerror(errno));
		close(fd);
		return NULL;
	}
	errno = 0;
	answer = json_loadf(f, 0, &why);
	if (answer == NULL && ferror(f))
		fprintf(stderr, "smbgatectl: no answer: %s\n",
		    errno == EAGAIN ? "smbgate takes too long" : strerror(errno));
	else if (answer == NULL)
		fprintf(stderr, "smbgatectl: the answer is not JSON: %s\n", why.text);
	fclose(f);
	return answer;
}

json_t *
ask(const char *path, const json_t *request)
{
	int fd = ask_connect(path);

	if (fd == -1)
		return NULL;
	if (ask_send(fd, request) == -1) {
		close(fd);
		return NULL;
	}
	return ask_read(fd);
}
