/* keysend.c: sends to smbgate-keyd what waits for it, and never waits for it */
#include "config.h"

#include "auth/keyc_priv.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <event2/event.h>

/*
 * So many requests are on their way at once: enough that smbgate-keyd always has one, few enough
 * that what comes next from another source does not stand behind a crowd.
 */
#define UNANSWERED_MAX 8

/* 1: sent. 0: it would block. -1: it cannot be sent. */
static int
try_send(const struct keyc *c, const uint8_t *p, size_t n)
{
	ssize_t r;

	do
		r = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r == -1 && errno == EINTR);
	if (r == -1)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
	return 1;
}

/* As try_send(). */
static int
transmit(const struct keyc *c, const struct keymsg *m)
{
	uint8_t small[64], *big = NULL, *p = small;
	size_t cap = sizeof(small), n;
	int r = -1;

	if (m->len > 0) {
		cap = m->len + sizeof(small);
		p = big = malloc(cap);
		if (big == NULL)
			return 0;
	}
	n = keymsg_put(p, cap, m);
	if (n > 0)
		r = try_send(c, p, n);
	free(big);
	return r;
}

void
keysend_forget(struct keyc *c, uint64_t id)
{
	if (c->fd != -1 &&
	    transmit(c, &(struct keymsg){ .type = KEYMSG_FORGET, .id = id }) != 1)
		log_debug("keyc: a FORGET was lost");
}

/*
 * Sends the next message of x. An exchange gets its id with its first message: whoever saw the
 * beginning of a logon first need not see its end first.
 */
static int
send_next(struct keyc *c, struct keyx *x)
{
	const struct keymsg m = {
		.type = x->unsent[0].type,
		.id = x->id != 0 ? x->id : c->next_id,
		.data = buf_head(&x->unsent[0].token),
		.len = buf_len(&x->unsent[0].token),
	};
	int r = transmit(c, &m);

	if (r != 1)
		return r;
	if (x->id == 0)
		c->next_id++;
	x->id = m.id;
	x->epoch = c->epoch;
	if (!x->is_sent)
		TAILQ_INSERT_TAIL(&c->sent, x, sent);
	x->is_sent = true;
	c->unanswered += m.type != KEYMSG_NTLM_CHALLENGE;
	keyq_sent(x);
	return 1;
}

void
keysend_pump(struct keyc *c)
{
	struct keyx *x;

	while (c->fd != -1 && c->greeted && c->unanswered < UNANSWERED_MAX &&
	    (x = keyq_first(c)) != NULL) {
		int r = send_next(c, x);

		if (r == 1)
			continue;
		if (r == 0 && event_add(c->wr, NULL) == -1)
			log_error("out of memory: smbgate-keyd is asked later");
		/* Whatever it is, whoever reads sees the end now. */
		if (r == -1)
			shutdown(c->fd, SHUT_RDWR);
		return;
	}
}
