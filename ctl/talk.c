/* talk.c: one message to many servers, and what each answers, all of them at once */
#include "config.h"

#include "ctl/talk.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections at a time: a process may have 1024 descriptors. */
#define AT_ONCE 512

static void
talk_end(struct talk *t, int err)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	t->err = err;
	t->ms = (unsigned)(clock_ms() - (uint64_t)t->since);
	if (t->fd == -1)
		return;
	setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(t->fd);
	t->fd = -1;
}

static void
talk_begin(struct talk *t)
{
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&t->to, &ss);

	t->err = EINPROGRESS;
	t->have = t->sent = 0;
	t->since = (int64_t)clock_ms();
	t->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd == -1 ||
	    (connect(t->fd, (struct sockaddr *)&ss, len) == -1 && errno != EINPROGRESS))
		talk_end(t, errno);
}

/* The whole message, or what is missing, or the end. */
static void
talk_read(struct talk *t)
{
	ssize_t n = recv(t->fd, t->in + t->have, sizeof(t->in) - t->have, 0);
	size_t len;

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		talk_end(t, n == 0 ? ECONNRESET : errno);
		return;
	}
	t->have += (size_t)n;
	if (t->have < 4)
		return;
	len = 4 + ((size_t)t->in[1] << 16 | (size_t)t->in[2] << 8 | t->in[3]);
	if (t->in[0] != 0 || len > sizeof(t->in))
		talk_end(t, EPROTO);
	else if (t->have >= len)
		talk_end(t, 0);
}

static void
talk_turn(struct talk *t)
{
	socklen_t len = sizeof(int);
	int err = 0;
	ssize_t n;

	if (t->sent == t->nout) {
		talk_read(t);
		return;
	}
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err != 0) {
		talk_end(t, err);
		return;
	}
	n = send(t->fd, t->out + t->sent, t->nout - t->sent, MSG_NOSIGNAL);
	if (n > 0)
		t->sent += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		talk_end(t, errno);
}

static void
talk_some(struct talk *t, struct pollfd *p, size_t n)
{
	int64_t end = (int64_t)clock_ms() + TALK_PATIENCE_MS, left;
	bool open = true;

	for (size_t i = 0; i < n; i++)
		talk_begin(&t[i]);
	while (open && (left = end - (int64_t)clock_ms()) > 0) {
		open = false;
		for (size_t i = 0; i < n; i++) {
			p[i] = (struct pollfd){ .fd = t[i].fd,
				.events = t[i].sent < t[i].nout ? POLLOUT : POLLIN };
			open |= t[i].fd != -1;
		}
		if (!open || poll(p, n, (int)left) <= 0)
			continue;
		for (size_t i = 0; i < n; i++)
			if (t[i].fd != -1 && p[i].revents != 0)
				talk_turn(&t[i]);
	}
	for (size_t i = 0; i < n; i++)
		if (t[i].fd != -1)
			talk_end(&t[i], ETIMEDOUT);
}

void
talk_all(struct talk *t, size_t n)
{
	struct pollfd *p = calloc(AT_ONCE, sizeof(*p));

	for (size_t i = 0; i < n; i += AT_ONCE) {
		size_t k = n - i < AT_ONCE ? n - i : AT_ONCE;

		if (p != NULL)
			talk_some(t + i, p, k);
		for (size_t j = 0; p == NULL && j < k; j++)
			t[i + j].err = ENOMEM;
	}
	free(p);
}
