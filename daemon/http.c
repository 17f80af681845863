/* http.c: what is seen of smbgate over HTTP: to be read, by few at a time, and nothing changes */
#include "config.h"

#include "daemon/http.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "daemon/ctl_env.h"
#include "daemon/facts.h"
#include "daemon/history.h"
#include "daemon/http_answer.h"
#include "daemon/http_request.h"
#include "daemon/process.h"
#include "policy/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

/*
 *	REQUEST ──► TURN ──► ANSWER ──► LINGER ──► freed
 *
 * One request a connection: [RFC 9112] 9.6, "Connection: close". In TURN are those whose answer
 * takes a while to make: one is made at a time, and then others have the thread for REST times as
 * long. libevent's own evhttp is not used: it cannot be told how many connections it may have, nor
 * how long all of one may take.
 */

/* Further clients wait in the listen queue. */
#define PEERS_MAX 32
#define BACKLOG 128
#define HEAD_MAX 8192

/*
 * For all of a connection; and for those who keep others waiting, from when they came, and from
 * when they had their answer.
 */
#define PEER_MS 5000
#define CROWDED_MS 100
/* An answer is sent: a close now could cost the client what it has not read. */
#define LINGER_MS 1000
/* So many times what an answer took to make, of CPU time: a busy machine is no reason to rest. */
#define REST 10

#define HTTP_MAGIC 0x68747470u
#define HTTP_PEER_MAGIC 0x68747031u

enum http_state { HTTP_REQUEST, HTTP_TURN, HTTP_ANSWER, HTTP_LINGER };

struct http_peer {
	MAGIC_MEMBER
	struct http *http;
	enum http_state state;
	struct bufferevent *bev;
	struct event *deadline;
	struct http_request request;
	uint64_t since_ms;		/* it is for them to do something */
	uint64_t end_ms;
	bool eof;			/* it sends no more; it may still read */
	TAILQ_ENTRY(http_peer) entry;
};

struct http {
	MAGIC_MEMBER
	const struct ctl_env *env;
	struct process *process;
	int fd;
	struct event *accept;
	struct event *retry;		/* when accepting failed for want of descriptors */
	struct event *turn;		/* the next answer is made then */
	struct event *tick;		/* once a second */
	unsigned ticks;
	bool retired;
	size_t npeers;
	TAILQ_HEAD(http_peers, http_peer) peers;	/* in the order in which they came */
	struct history history;
};

/* Bound; -1 with errno. */
static int
http_socket(const struct conf *conf)
{
	const int one = 1;
	struct sockaddr_storage ss;
	socklen_t len = addrport_to_sa(&conf->http_address, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), saved;

	if (fd != -1 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    bind(fd, (struct sockaddr *)&ss, len) == 0)
		return fd;
	saved = errno;
	if (fd != -1)
		close(fd);
	errno = saved;
	return -1;
}

int
http_try(const struct conf *conf)
{
	int fd = http_socket(conf);

	if (fd != -1)
		close(fd);
	return fd == -1 ? -1 : 0;
}

int
http_bind(const struct conf *conf)
{
	char text[ADDR_STRLEN];
	int fd = http_socket(conf);

	if (fd != -1 && listen(fd, BACKLOG) == 0)
		return fd;
	log_error("%s:%d: http: cannot bind %s: %s", conf->path, conf->http_line,
	    addrport_str(&conf->http_address, text), strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}

static void
in_ms(struct event *ev, uint64_t ms)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	event_add(ev, &tv);
}

/* It takes memory, of the kernel's too: without that, it is tried again. */
static void
http_accept(struct http *h)
{
	if (!h->retired && event_add(h->accept, NULL) == -1)
		in_ms(h->retry, 1000);
}

static void
http_peer_free(struct http_peer *p)
{
	struct http *h = p->http;

	TAILQ_REMOVE(&h->peers, p, entry);
	if (p->deadline != NULL)
		event_free(p->deadline);
	if (p->bev != NULL)
		bufferevent_free(p->bev);
	MAGIC_CLEAR(p);
	free(p);
	if (h->npeers-- == PEERS_MAX && !evtimer_pending(h->retry, NULL))
		http_accept(h);
}

/* What they have to do, they have some time for; less if others wait. */
static void
http_peer_enter(struct http_peer *p, enum http_state state, uint64_t ms)
{
	const uint64_t now = clock_ms(), left = p->end_ms > now ? p->end_ms - now : 0;

	p->state = state;
	p->since_ms = now;
	if (p->http->npeers == PEERS_MAX && state != HTTP_TURN && ms > CROWDED_MS)
		ms = CROWDED_MS;
	in_ms(p->deadline, ms < left ? ms : left);
}

/* Takes over the answer's body. */
static void
http_peer_answer(struct http_peer *p, struct http_answer a)
{
	struct evbuffer *out = bufferevent_get_output(p->bev);
	time_t now = time(NULL);
	char date[64] = "";
	struct tm tm;

	if (a.body == NULL) {
		http_peer_free(p);
		return;
	}
	if (gmtime_r(&now, &tm) != NULL)
		strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	evbuffer_add_printf(out,
	    "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\nContent-Type: %s\r\n"
	    "Content-Length: %zu\r\n%sCache-Control: no-store\r\n"
	    "Content-Security-Policy: %s\r\nX-Content-Type-Options: nosniff\r\n"
	    "Referrer-Policy: no-referrer\r\n\r\n",
	    a.status, http_status_str(a.status), date, a.type, a.len,
	    a.status == 405 ? "Allow: GET, HEAD\r\n" : "", a.csp);
	if (!p->request.head)
		evbuffer_add(out, a.body, a.len);
	free(a.body);
	http_peer_enter(p, HTTP_ANSWER, PEER_MS);
}

static void
http_turn_soon(struct http *h)
{
	if (!evtimer_pending(h->turn, NULL))
		in_ms(h->turn, 0);
}

/* The next answer is made, of whoever has waited longest; the others have the thread then. */
static void
http_turn_cb(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	const struct http_view view = { h->env, h->process, &h->history };
	uint64_t began = clock_thread_us();
	struct http_peer *p;

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HTTP_MAGIC);
	TAILQ_FOREACH(p, &h->peers, entry)
		if (p->state == HTTP_TURN)
			break;
	if (p == NULL)
		return;
	http_peer_answer(p, http_answer(&view, p->request.path));
	in_ms(h->turn, (clock_thread_us() - began) * REST / 1000);
}

static void
discard(struct http_peer *p)
{
	struct evbuffer *in = bufferevent_get_input(p->bev);

	evbuffer_drain(in, evbuffer_get_length(in));
}

/* Its head is whole. */
static void
http_peer_serve(struct http_peer *p, const char *head, size_t len)
{
	const struct http_view view = { p->http->env, p->http->process, &p->http->history };
	int wrong = http_request_get(&p->request, head, len);

	if (wrong == 405) {
		http_peer_answer(p, http_say(wrong, "only GET and HEAD: nothing changes here"));
	} else if (wrong != 0) {
		http_peer_answer(p, http_say(wrong, http_status_str(wrong)));
	} else if (http_path_is_light(p->request.path)) {
		http_peer_answer(p, http_answer(&view, p->request.path));
	} else {
		http_peer_enter(p, HTTP_TURN, PEER_MS);
		http_turn_soon(p->http);
	}
}

static void
http_read_cb(struct bufferevent *bev, void *arg)
{
	struct http_peer *p = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	char head[HEAD_MAX];
	ev_ssize_t have;
	size_t len;

	MAGIC_CHECK(p, HTTP_PEER_MAGIC);
	if (p->state != HTTP_REQUEST) {
		discard(p);
		return;
	}
	have = evbuffer_copyout(in, head, sizeof(head));
	len = have <= 0 ? 0 : http_head_len(head, (size_t)have);
	if (len == 0 && have < HEAD_MAX)
		return;
	/* A body, or another request, is nobody's business here. */
	discard(p);
	if (len == 0)
		http_peer_answer(p, http_say(431, http_status_str(431)));
	else
		http_peer_serve(p, head, len);
}

/* The output is empty: everything has been sent. */
static void
http_write_cb(struct bufferevent *bev, void *arg)
{
	struct http_peer *p = arg;

	MAGIC_CHECK(p, HTTP_PEER_MAGIC);
	if (p->state != HTTP_ANSWER)
		return;
	if (p->eof || shutdown(bufferevent_getfd(bev), SHUT_WR) == -1) {
		http_peer_free(p);
		return;
	}
	http_peer_enter(p, HTTP_LINGER, LINGER_MS);
}

static void
http_event_cb(struct bufferevent *bev, short what, void *arg)
{
	struct http_peer *p = arg;

	(void)bev;
	MAGIC_CHECK(p, HTTP_PEER_MAGIC);
	p->eof = true;
	/* Who has asked, and sends no more, may still read. */
	if ((what & BEV_EVENT_ERROR) != 0 || p->state == HTTP_REQUEST || p->state == HTTP_LINGER)
		http_peer_free(p);
}

static void
http_deadline_cb(evutil_socket_t fd, short what, void *arg)
{
	struct http_peer *p = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, HTTP_PEER_MAGIC);
	http_peer_free(p);
}

/*
 * No room is left: whoever has had a moment goes, the others when they have had it. It is no fault
 * of those whose answer is still to be made.
 */
static void
hurry(struct http *h)
{
	struct http_peer *p, *next;
	uint64_t now = clock_ms();

	for (p = TAILQ_FIRST(&h->peers); p != NULL; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (p->state == HTTP_TURN)
			continue;
		if (p->state == HTTP_LINGER || now >= p->since_ms + CROWDED_MS)
			http_peer_free(p);
		else
			in_ms(p->deadline, p->since_ms + CROWDED_MS - now);
	}
}

/* Takes over fd. */
static void
http_peer_new(struct http *h, int fd)
{
	struct http_peer *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		close(fd);
		return;
	}
	MAGIC_SET(p, HTTP_PEER_MAGIC);
	p->http = h;
	p->end_ms = clock_ms() + PEER_MS;
	TAILQ_INSERT_TAIL(&h->peers, p, entry);
	if (++h->npeers == PEERS_MAX)
		event_del(h->accept);
	p->deadline = evtimer_new(h->env->base, http_deadline_cb, p);
	p->bev = bufferevent_socket_new(h->env->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (p->bev == NULL)
		close(fd);
	if (p->bev == NULL || p->deadline == NULL) {
		http_peer_free(p);
		return;
	}
	bufferevent_setcb(p->bev, http_read_cb, http_write_cb, http_event_cb, p);
	bufferevent_setwatermark(p->bev, EV_READ, 0, HEAD_MAX);
	http_peer_enter(p, HTTP_REQUEST, PEER_MS);
	if (bufferevent_enable(p->bev, EV_READ | EV_WRITE) == -1)
		http_peer_free(p);
	else if (h->npeers == PEERS_MAX)
		hurry(h);
}

static void
http_accept_cb(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	MAGIC_CHECK(h, HTTP_MAGIC);
	if (s != -1) {
		http_peer_new(h, s);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		/* The connection stays in the queue and would wake the loop at once again. */
		event_del(h->accept);
		in_ms(h->retry, 1000);
	}
}

static void
http_retry_cb(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HTTP_MAGIC);
	if (h->npeers < PEERS_MAX)
		http_accept(h);
}

static void
http_tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	struct facts *f;

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HTTP_MAGIC);
	process_step(h->process);
	if (++h->ticks % HISTORY_STEP_S != 0)
		return;
	f = facts_now(h->env, h->process);
	if (f != NULL)
		history_take(&h->history, f, clock_ms());
	free(f);
}

struct http *
http_new(const struct ctl_env *env, struct process *process, int fd)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h == NULL) {
		close(fd);
		return NULL;
	}
	MAGIC_SET(h, HTTP_MAGIC);
	h->env = env;
	h->process = process;
	h->fd = fd;
	TAILQ_INIT(&h->peers);
	h->accept = event_new(env->base, fd, EV_READ | EV_PERSIST, http_accept_cb, h);
	h->retry = evtimer_new(env->base, http_retry_cb, h);
	h->turn = evtimer_new(env->base, http_turn_cb, h);
	h->tick = event_new(env->base, -1, EV_PERSIST, http_tick_cb, h);
	if (h->accept == NULL || h->retry == NULL || h->turn == NULL || h->tick == NULL ||
	    event_add(h->accept, NULL) == -1) {
		http_free(&h);
		return NULL;
	}
	history_begin(&h->history, clock_ms());
	in_ms(h->tick, 1000);
	return h;
}

void
http_retire(struct http *h)
{
	h->retired = true;
	event_del(h->accept);
	event_del(h->retry);
}

void
http_free(struct http **hp)
{
	struct http *h = *hp;

	if (h == NULL)
		return;
	while (!TAILQ_EMPTY(&h->peers))
		http_peer_free(TAILQ_FIRST(&h->peers));
	if (h->accept != NULL)
		event_free(h->accept);
	if (h->retry != NULL)
		event_free(h->retry);
	if (h->turn != NULL)
		event_free(h->turn);
	if (h->tick != NULL)
		event_free(h->tick);
	close(h->fd);
	MAGIC_CLEAR(h);
	free(h);
	*hp = NULL;
}
