/* wire.c: one connection that speaks Redis' protocol, plain or in TLS: asks, and is answered */
#include "config.h"

#include "state/wire.h"

#include "base/magic.h"
#include "state/reply.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>

/*
 * Of hiredis the parser and the formatter are used. Its own asynchronous connection asserts on
 * what a server sends unasked; this one believes nothing. A new one shares nothing with the last:
 * no late answer can be taken for another's. Debian 12's hiredis has no TLS, libevent has.
 */

/* Answers that are owed. */
#define ASKED_MAX 65536
#define READ_MAX 16384
/* The first byte of a TLS record that says what is wrong. */
#define TLS_ALERT 0x15

#define WIRE_MAGIC 0x77697265u

struct slot {
	STAILQ_ENTRY(slot) entry;
	wire_reply_f cb;	/* NULL: nobody wants it */
	void *arg;
};

STAILQ_HEAD(slots, slot);

struct wire {
	MAGIC_MEMBER
	const struct wire_tls *tls;	/* NULL: plain */
	const struct wire_ops *ops;
	void *arg;
	struct bufferevent *bev;	/* NULL: freed, from one of its own callbacks */
	struct reply_parser *parser;
	struct slots asked;
	size_t nasked;
	bool open;
	bool heard;			/* a byte of it, ever */
	bool busy;			/* a callback runs, and frees it at its end */
};

const char *
wire_server_name(const struct wire_server *s, char dst[WIRE_NAME_MAX])
{
	char text[ADDR_STRLEN];

	snprintf(dst, WIRE_NAME_MAX, "%s",
	    s->path[0] != '\0' ? s->path : addrport_str(&s->address, text));
	return dst;
}

bool
wire_ask(struct wire *w, int argc, const char **argv, const size_t *len, wire_reply_f cb, void *arg)
{
	struct slot *s = w->nasked < ASKED_MAX ? calloc(1, sizeof(*s)) : NULL;
	char *text = NULL;
	int n;

	if (s == NULL)
		return false;
	n = (int)redisFormatCommandArgv(&text, argc, argv, len);
	if (n < 0 || bufferevent_write(w->bev, text, (size_t)n) == -1) {
		free(text);
		free(s);
		return false;
	}
	/* It may be a password. */
	explicit_bzero(text, (size_t)n);
	free(text);
	s->cb = cb;
	s->arg = arg;
	STAILQ_INSERT_TAIL(&w->asked, s, entry);
	w->nasked++;
	return true;
}

void
wire_flush(struct wire *w)
{
	struct evbuffer *out = bufferevent_get_output(w->bev);
	size_t n = evbuffer_get_length(out);
	const void *p = n > 0 ? evbuffer_pullup(out, -1) : NULL;

	if (!w->open || (n > 0 && p == NULL))
		return;
	if (w->tls != NULL)
		w->tls->write_last(bufferevent_openssl_get_ssl(w->bev), p, n);
	else if (n > 0)
		(void)send(bufferevent_getfd(w->bev), p, n, MSG_NOSIGNAL);
}

void
wire_free(struct wire **wp)
{
	struct wire *w = *wp;
	struct slot *s;

	*wp = NULL;
	if (w == NULL)
		return;
	if (w->bev != NULL)
		bufferevent_free(w->bev);
	w->bev = NULL;
	while ((s = STAILQ_FIRST(&w->asked)) != NULL) {
		STAILQ_REMOVE_HEAD(&w->asked, entry);
		if (s->cb != NULL)
			s->cb(s->arg, NULL);
		free(s);
	}
	if (w->busy)
		return;
	reply_parser_free(&w->parser);
	MAGIC_CLEAR(w);
	free(w);
}

/* The end of a callback in which the connection may have been freed. */
static void
callback_over(struct wire *w)
{
	w->busy = false;
	if (w->bev == NULL)
		wire_free(&w);
}

static void
take_reply(struct wire *w, const redisReply *r)
{
	struct slot *s;

	if (w->ops->push != NULL && w->ops->push(w->arg, r))
		return;
	s = w->bev == NULL ? NULL : STAILQ_FIRST(&w->asked);
	if (s == NULL) {
		if (w->bev != NULL)
			w->ops->unasked(w->arg, r);
		return;
	}
	STAILQ_REMOVE_HEAD(&w->asked, entry);
	w->nasked--;
	w->ops->reply(w->arg, s->cb, s->arg, r);
	free(s);
}

static void
take_bytes(struct wire *w, const char *bytes, size_t n)
{
	redisReply *r;
	int whole = 0;

	if (!w->heard && bytes[0] == TLS_ALERT) {
		w->ops->end(w->arg, FAULT_PROTOCOL, "it speaks TLS there: set tls = true");
		return;
	}
	w->heard = true;
	if (reply_feed(w->parser, bytes, n) == -1) {
		w->ops->end(w->arg, FAULT_NO_MEMORY, NULL);
		return;
	}
	while (w->bev != NULL && (whole = reply_next(w->parser, &r)) == 1) {
		take_reply(w, r);
		freeReplyObject(r);
	}
	if (w->bev != NULL && whole == -1)
		w->ops->end(w->arg, FAULT_PROTOCOL, NULL);
}

static void
wire_read_cb(struct bufferevent *bev, void *arg)
{
	struct wire *w = arg;
	char bytes[READ_MAX];
	int n;

	MAGIC_CHECK(w, WIRE_MAGIC);
	w->busy = true;
	while (w->bev != NULL && (n = evbuffer_remove(bufferevent_get_input(bev), bytes,
	                              sizeof(bytes))) > 0)
		take_bytes(w, bytes, (size_t)n);
	callback_over(w);
}

static void
wire_opened(struct wire *w)
{
	int one = 1;

	(void)setsockopt(bufferevent_getfd(w->bev), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	w->open = true;
	w->ops->open(w->arg);
}

static void
wire_event_cb(struct bufferevent *bev, short what, void *arg)
{
	struct wire *w = arg;
	char words[FAULT_WORDS];
	const char *err;

	MAGIC_CHECK(w, WIRE_MAGIC);
	err = evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR());
	w->busy = true;
	if (what & BEV_EVENT_CONNECTED)
		wire_opened(w);
	else if (w->tls != NULL && w->tls->why(bufferevent_openssl_get_ssl(bev),
	             bufferevent_get_openssl_error(bev), words) == 0)
		w->ops->end(w->arg, FAULT_TLS, words);
	else if (w->open)
		w->ops->end(w->arg, FAULT_CLOSED, w->heard ? NULL : w->tls == NULL
		    ? "closed without a word: it may speak TLS alone, so set tls = true"
		    : "closed without a word: it may want another tls-cert-file");
	else
		w->ops->end(w->arg, FAULT_CONNECT, what & BEV_EVENT_ERROR ? err : NULL);
	callback_over(w);
}

/* A socket that is about to be connected there; -1. */
static int
wire_dial(struct wire *w, const struct wire_server *to)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct sockaddr_storage ss;
	struct sockaddr *sa = (struct sockaddr *)&ss;
	socklen_t len;
	int fd;

	if (to->path[0] != '\0') {
		memcpy(sun.sun_path, to->path, sizeof(sun.sun_path));
		sa = (struct sockaddr *)&sun;
		len = sizeof(sun);
	} else {
		len = addrport_to_sa(&to->address, &ss);
	}
	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (bufferevent_setfd(w->bev, fd) == -1) {
		close(fd);
		return -1;
	}
	return bufferevent_socket_connect(w->bev, sa, (int)len);
}

static struct bufferevent *
make_bev(struct event_base *base, const struct wire_server *to, const struct wire_tls *tls)
{
	struct ssl_st *ssl;

	if (tls == NULL)
		return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	ssl = tls->open(tls->arg, &to->address);
	return ssl == NULL ? NULL : bufferevent_openssl_socket_new(base, -1, ssl,
	    BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
}

struct wire *
wire_new(struct event_base *base, const struct wire_server *to, const struct wire_tls *tls,
    const struct wire_ops *ops, void *arg)
{
	struct wire *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	MAGIC_SET(w, WIRE_MAGIC);
	w->tls = to->path[0] != '\0' ? NULL : tls;
	w->ops = ops;
	w->arg = arg;
	STAILQ_INIT(&w->asked);
	w->parser = reply_parser_new();
	w->bev = make_bev(base, to, w->tls);
	if (w->parser == NULL || w->bev == NULL ||
	    bufferevent_enable(w->bev, EV_READ | EV_WRITE) == -1 || wire_dial(w, to) == -1) {
		wire_free(&w);
		return NULL;
	}
	bufferevent_setcb(w->bev, wire_read_cb, NULL, wire_event_cb, w);
	return w;
}
