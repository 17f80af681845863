/* ctl.c: the control socket: one JSON request a connection, one JSON answer */
#include "config.h"

#include "daemon/ctl.h"

#include "base/magic.h"
#include "daemon/connlist.h"
#include "daemon/ctl_env.h"
#include "daemon/ctl_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

/*
 *	REQUEST ──► GATHER ──► ANSWER ──► LINGER ──► freed
 *	   └───────────────────►
 *
 * GATHER is for answers that need the connections of all workers. A peer that goes away meanwhile
 * forgets its query.
 */

/* Further clients wait in the listen queue. */
#define PEERS_MAX 16
#define REQUEST_MAX 4096

/* Absolute, from the moment that the state is entered. */
#define REQUEST_S 5
#define GATHER_S 10
#define ANSWER_S 30
#define LINGER_S 1

#define CTL_MAGIC 0x43544c30u
#define PEER_MAGIC 0x43544c31u

enum peer_state {
	PEER_REQUEST,
	PEER_GATHER,
	PEER_ANSWER,
	PEER_LINGER,	/* all is sent: a close now could cost the client what it has not read */
};

struct peer {
	MAGIC_MEMBER
	struct ctl *ctl;
	enum peer_state state;
	struct bufferevent *bev;
	struct event *deadline;
	struct connlist_query *query;	/* of PEER_GATHER */
	struct ctl_later later;		/* the same */
	bool eof;			/* it sends no more; it may still read */
	LIST_ENTRY(peer) entry;
};

struct ctl {
	MAGIC_MEMBER
	const struct ctl_env *env;
	int fd;
	struct event *accept;
	struct event *retry;	/* when accepting failed for want of descriptors */
	size_t npeers;
	LIST_HEAD(, peer) peers;
};

static void
peer_free(struct peer *p)
{
	struct ctl *ctl = p->ctl;

	connlist_forget(&p->query);
	LIST_REMOVE(p, entry);
	if (p->deadline != NULL)
		event_free(p->deadline);
	if (p->bev != NULL)
		bufferevent_free(p->bev);
	MAGIC_CLEAR(p);
	free(p);
	if (ctl->npeers-- == PEERS_MAX)
		event_add(ctl->accept, NULL);
}

static void
peer_enter(struct peer *p, enum peer_state state, int seconds)
{
	const struct timeval tv = { seconds, 0 };

	p->state = state;
	event_add(p->deadline, &tv);
}

/* Takes over the answer; NULL: memory was out, and that is the answer. */
static void
peer_answer(struct peer *p, json_t *o)
{
	struct evbuffer *out = bufferevent_get_output(p->bev);
	char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);

	json_decref(o);
	peer_enter(p, PEER_ANSWER, ANSWER_S);
	if (text != NULL)
		evbuffer_add(out, text, strlen(text));
	else
		evbuffer_add_printf(out, "{\"error\":\"out of memory\"}");
	evbuffer_add(out, "\n", 1);
	free(text);
}

static void
peer_error(struct peer *p, const char *text)
{
	peer_answer(p, ctl_error(text));
}

static void
gathered_cb(void *arg, const struct conn_info *conns, size_t n)
{
	struct peer *p = arg;

	MAGIC_CHECK(p, PEER_MAGIC);
	p->query = NULL;
	peer_answer(p, conns == NULL ? NULL : p->later.report(p->ctl->env, &p->later, conns, n));
}

static void
peer_serve(struct peer *p, const char *line, size_t len)
{
	const struct ctl_env *env = p->ctl->env;
	json_t *answer = ctl_request(env, line, len, &p->later);
	const char *why;

	if (p->later.report == NULL) {
		peer_answer(p, answer);
		return;
	}
	p->query = connlist_ask(env->connlist, gathered_cb, p, &why);
	if (p->query != NULL)
		peer_enter(p, PEER_GATHER, GATHER_S);
	else
		peer_error(p, why);
}

static void
discard_input(struct peer *p)
{
	struct evbuffer *in = bufferevent_get_input(p->bev);

	evbuffer_drain(in, evbuffer_get_length(in));
}

static void
peer_read_cb(struct bufferevent *bev, void *arg)
{
	struct peer *p = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t len;
	char *line;

	MAGIC_CHECK(p, PEER_MAGIC);
	if (p->state == PEER_REQUEST) {
		line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
		if (line == NULL ? evbuffer_get_length(in) >= REQUEST_MAX : len >= REQUEST_MAX)
			peer_error(p, "the request is too long");
		else if (line != NULL)
			peer_serve(p, line, len);
		free(line);
	}
	if (p->state != PEER_REQUEST)
		discard_input(p);
}

/* The output is empty: everything has been sent. */
static void
peer_write_cb(struct bufferevent *bev, void *arg)
{
	struct peer *p = arg;

	MAGIC_CHECK(p, PEER_MAGIC);
	if (p->state != PEER_ANSWER)
		return;
	if (p->eof || shutdown(bufferevent_getfd(bev), SHUT_WR) == -1)
		peer_free(p);
	else
		peer_enter(p, PEER_LINGER, LINGER_S);
}

static void
peer_event_cb(struct bufferevent *bev, short what, void *arg)
{
	struct peer *p = arg;

	MAGIC_CHECK(p, PEER_MAGIC);
	if ((what & BEV_EVENT_ERROR) != 0) {
		peer_free(p);
		return;
	}
	/* Nothing more will be asked; an answer that is under way may still be read. */
	p->eof = true;
	switch (p->state) {
	case PEER_REQUEST:
		if (evbuffer_get_length(bufferevent_get_input(bev)) == 0) {
			peer_free(p);
			return;
		}
		peer_error(p, "a request ends with a newline");
		break;
	case PEER_LINGER:
		peer_free(p);
		break;
	case PEER_GATHER:
	case PEER_ANSWER:
		break;
	}
}

static void
peer_deadline_cb(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, PEER_MAGIC);
	switch (p->state) {
	case PEER_REQUEST:
		peer_error(p, "no request came in time");
		break;
	case PEER_GATHER:
		connlist_forget(&p->query);
		peer_error(p, "a worker does not answer");
		break;
	case PEER_ANSWER:
	case PEER_LINGER:
		peer_free(p);
		break;
	}
}

/* Takes over fd. */
static void
peer_new(struct ctl *ctl, int fd)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		close(fd);
		return;
	}
	MAGIC_SET(p, PEER_MAGIC);
	p->ctl = ctl;
	LIST_INSERT_HEAD(&ctl->peers, p, entry);
	if (++ctl->npeers == PEERS_MAX)
		event_del(ctl->accept);
	p->deadline = evtimer_new(ctl->env->base, peer_deadline_cb, p);
	p->bev = bufferevent_socket_new(ctl->env->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (p->bev == NULL)
		close(fd);
	if (p->bev == NULL || p->deadline == NULL) {
		peer_free(p);
		return;
	}
	bufferevent_setcb(p->bev, peer_read_cb, peer_write_cb, peer_event_cb, p);
	/* A read never takes more in than a request may have. */
	bufferevent_setwatermark(p->bev, EV_READ, 0, REQUEST_MAX);
	peer_enter(p, PEER_REQUEST, REQUEST_S);
	if (bufferevent_enable(p->bev, EV_READ | EV_WRITE) == -1)
		peer_free(p);
}

static void
ctl_accept_cb(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval second = { 1, 0 };
	struct ctl *ctl = arg;
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	MAGIC_CHECK(ctl, CTL_MAGIC);
	if (s != -1) {
		peer_new(ctl, s);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		/* The connection stays in the queue and would wake the loop at once again. */
		event_del(ctl->accept);
		event_add(ctl->retry, &second);
	}
}

static void
ctl_retry_cb(evutil_socket_t fd, short what, void *arg)
{
	struct ctl *ctl = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(ctl, CTL_MAGIC);
	if (ctl->npeers < PEERS_MAX)
		event_add(ctl->accept, NULL);
}

struct ctl *
ctl_new(const struct ctl_env *env, int fd)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));

	if (ctl == NULL) {
		close(fd);
		return NULL;
	}
	MAGIC_SET(ctl, CTL_MAGIC);
	ctl->env = env;
	ctl->fd = fd;
	LIST_INIT(&ctl->peers);
	ctl->accept = event_new(env->base, fd, EV_READ | EV_PERSIST, ctl_accept_cb, ctl);
	ctl->retry = evtimer_new(env->base, ctl_retry_cb, ctl);
	if (ctl->accept == NULL || ctl->retry == NULL || event_add(ctl->accept, NULL) == -1)
		ctl_free(&ctl);
	return ctl;
}

void
ctl_free(struct ctl **cp)
{
	struct ctl *ctl = *cp;

	if (ctl == NULL)
		return;
	while (!LIST_EMPTY(&ctl->peers))
		peer_free(LIST_FIRST(&ctl->peers));
	if (ctl->accept != NULL)
		event_free(ctl->accept);
	if (ctl->retry != NULL)
		event_free(ctl->retry);
	close(ctl->fd);
	MAGIC_CLEAR(ctl);
	free(ctl);
	*cp = NULL;
}
