/* stream.c: an answer of smbgate that goes on for a while, until it ends or is stopped */
#include "config.h"

#include "ctl/stream.h"

#include "ctl/ask.h"
#include "ctl/failure.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* More than the longest record of base/tapmsg.h. */
#define ROOM (4 * 1024 * 1024)
/* Of smbgate, for all that is on its way when it should have ended. */
#define SPARE_MS 60000

struct stream {
	int fd, signals;
	bool stopped;
	int64_t end_ms;
	size_t done, len;
	uint8_t buf[ROOM];
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct stream *
stream_open(const char *path, const json_t *request, json_t **first)
{
	struct stream *s = calloc(1, sizeof(*s));
	sigset_t stop;

	*first = NULL;
	if (s == NULL)
		return NULL;
	s->signals = -1;
	s->end_ms = now_ms() + SPARE_MS;
	s->fd = ask_begin(path, request, first);
	if (s->fd == -1) {
		free(s);
		return NULL;
	}
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	s->signals = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	*first = stream_line(s);
	if (*first == NULL)
		*first = failure("no answer");
	if (*first != NULL && json_object_get(*first, "error") == NULL) {
		s->end_ms += json_integer_value(json_object_get(*first, "for_ms"));
		return s;
	}
	stream_close(&s);
	return NULL;
}

void
stream_close(struct stream **sp)
{
	struct stream *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	if (s->signals != -1)
		close(s->signals);
	close(s->fd);
	free(s);
}

void
stream_stop(struct stream *s)
{
	if (!s->stopped)
		shutdown(s->fd, SHUT_WR);
	s->stopped = true;
}

/* One more read. False: the end, or nothing comes. */
static bool
stream_read(struct stream *s)
{
	struct pollfd p[2] = { { s->fd, POLLIN, 0 }, { s->signals, POLLIN, 0 } };
	struct signalfd_siginfo si;
	int64_t left = s->end_ms - now_ms();
	ssize_t n;

	if (left <= 0 || poll(p, 2, (int)(left < 1000 ? left : 1000)) == -1)
		return left > 0 && errno == EINTR;
	if (p[1].revents != 0 && read(s->signals, &si, sizeof(si)) > 0)
		stream_stop(s);
	if (p[0].revents == 0)
		return true;
	n = read(s->fd, s->buf + s->len, ROOM - s->len);
	if (n > 0)
		s->len += (size_t)n;
	return n > 0 || (n == -1 && (errno == EINTR || errno == EAGAIN));
}

const uint8_t *
stream_need(struct stream *s, size_t n, size_t *have)
{
	while (s->len - s->done < n) {
		if (s->done > 0) {
			memmove(s->buf, s->buf + s->done, s->len - s->done);
			s->len -= s->done;
			s->done = 0;
		}
		if (n > ROOM || !stream_read(s))
			return NULL;
	}
	*have = s->len - s->done;
	return s->buf + s->done;
}

void
stream_skip(struct stream *s, size_t n)
{
	s->done += n;
}

int
stream_idle(const struct stream *s)
{
	struct pollfd p = { s->fd, POLLIN, 0 };

	return s->done == s->len && poll(&p, 1, 0) == 0;
}

json_t *
stream_line(struct stream *s)
{
	const uint8_t *p, *end = NULL;
	json_t *line;
	size_t have = 0;

	do {
		p = stream_need(s, have + 1, &have);
		if (p == NULL)
			return NULL;
		end = memchr(p, '\n', have);
	} while (end == NULL);
	line = json_loadb((const char *)p, (size_t)(end - p), 0, NULL);
	stream_skip(s, (size_t)(end - p) + 1);
	return line;
}
