/* ctl.c: the control socket: one JSON request a connection, one JSON answer */
#include "config.h"

#include "daemon/ctl.h"

#include "base/clock.h"
#include "base/magic.h"
#include "daemon/census.h"
#include "daemon/connlist.h"
#include "daemon/ctl_env.h"
#include "daemon/ctl_later.h"
#include "daemon/ctl_request.h"
#include "daemon/scribe.h"
#include "daemon/tapping.h"
#include "policy/policy.h"
#include "proxy/conn.h"

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
 *	   ├───────────────────►
 *	   ├──► STREAM ────────►
 *	   └──► STAY ────────────────────► LINGER
 *
 * GATHER is for answers that need the connections of all workers. A peer that goes away meanwhile
 * forgets its query. STREAM is for captures and traces, which end by themselves, or when their peer
 * sends no more. STAY is for who waits for the end of smbgate, and hears of it.
 */

/* Further clients wait in the listen queue. */
#define PEERS_MAX 16
/* So many of them may wait for the end. */
#define STAY_MAX 4
#define REQUEST_MAX 4096

/* Absolute, from the moment that the state is entered. */
#define REQUEST_S 5
#define GATHER_S 10
#define ANSWER_S 30
#define LINGER_S 1
/* Of a capture: no more is taken from the workers while so much has not been read. */
#define STREAM_FULL (1024 * 1024)
#define STREAM_LOW (256 * 1024)
#define STREAM_WRITE (128 * 1024)
/*
 * For those who keep others waiting, from when it is for them to ask or to read: a check of smbgate
 * must not fail for them. Who reads an answer has it for each so many bytes.
 */
#define CROWDED_MS 300
#define CROWDED_BYTES (64 * 1024)

#define CTL_MAGIC 0x43544c30u
#define PEER_MAGIC 0x43544c31u

enum peer_state {
	PEER_REQUEST,
	PEER_GATHER,
	PEER_STREAM,
	PEER_STAY,
	PEER_ANSWER,
	PEER_LINGER,	/* all is sent: a close now could cost the client what it has not read */
};

struct peer;

/* One that is made apart; it outlives a peer that has gone. */
struct long_answer {
	struct scribe_job job;		/* the first member */
	struct peer *peer;		/* NULL: it has gone */
	const struct ctl_env *env;
	struct scribe *scribe;		/* who makes it */
	struct ctl_later later;
	struct conn_parts *parts;	/* NULL: none are needed */
	char *text;			/* NULL: memory was out */
};

struct peer {
	MAGIC_MEMBER
	struct ctl *ctl;
	enum peer_state state;
	struct bufferevent *bev;
	struct event *deadline;
	struct connlist_query *query;	/* of PEER_GATHER */
	struct census *census;		/* the same */
	struct ctl_later later;		/* the same */
	struct long_answer *answer;	/* the same: it is being made */
	struct tapping *tapping;	/* of PEER_STREAM */
	json_t *first;			/* of the same: the line that says that it has begun */
	bool eof;			/* it sends no more; it may still read */
	uid_t uid;			/* whose it is */
	bool hurried;			/* it has CROWDED_MS, if there is no room then */
	size_t left;			/* unread when it was hurried */
	uint64_t since_ms, end_ms;	/* of its state; the end, if it is not hurried */
	LIST_ENTRY(peer) entry;
};

struct ctl {
	MAGIC_MEMBER
	const struct ctl_env *env;
	int fd;
	struct event *accept;
	struct event *retry;	/* when accepting failed for want of descriptors */
	bool retired;
	size_t npeers, nstreams, nstaying;
	LIST_HEAD(, peer) peers;
};

static void
stream_free(struct peer *p)
{
	tapping_free(&p->tapping);
	json_decref(p->first);
	p->first = NULL;
	p->ctl->nstreams--;
}

/* It takes memory, of the kernel's too: without that, it is tried again. */
static void
ctl_accept(struct ctl *ctl)
{
	const struct timeval second = { 1, 0 };

	if (!ctl->retired && event_add(ctl->accept, NULL) == -1)
		event_add(ctl->retry, &second);
}

/* Whatever is being made for it is not wanted any more. */
static void
peer_forget(struct peer *p)
{
	struct long_answer *a = p->answer;

	connlist_forget(&p->query);
	census_forget(&p->census);
	if (a == NULL)
		return;
	p->answer = NULL;
	a->peer = NULL;
	scribe_forget(a->scribe, &a->job);
}

static void
peer_free(struct peer *p)
{
	struct ctl *ctl = p->ctl;

	peer_forget(p);
	if (p->tapping != NULL)
		stream_free(p);
	ctl->nstaying -= p->state == PEER_STAY;
	LIST_REMOVE(p, entry);
	if (p->deadline != NULL)
		event_free(p->deadline);
	if (p->bev != NULL)
		bufferevent_free(p->bev);
	MAGIC_CLEAR(p);
	free(p);
	if (ctl->npeers-- == PEERS_MAX)
		ctl_accept(ctl);
}

/* It is for them to do something: to ask, to read, or to go. */
static bool
is_theirs(const struct peer *p)
{
	return p->state == PEER_REQUEST || p->state == PEER_ANSWER || p->state == PEER_LINGER;
}

static void
peer_hurry(struct peer *p)
{
	const struct timeval tv = { 0, CROWDED_MS * 1000 };

	p->hurried = true;
	p->left = evbuffer_get_length(bufferevent_get_output(p->bev));
	event_add(p->deadline, &tv);
}

static void
peer_enter(struct peer *p, enum peer_state state, int seconds)
{
	const struct timeval tv = { seconds, 0 };

	p->state = state;
	p->hurried = false;
	p->since_ms = clock_ms();
	p->end_ms = p->since_ms + (uint64_t)seconds * 1000;
	if (p->ctl->npeers == PEERS_MAX && is_theirs(p))
		peer_hurry(p);
	else
		event_add(p->deadline, &tv);
}

static void
text_free(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	free(arg);
}

/* Takes over a line of text; NULL: memory was out, and that is said. */
static void
peer_text(struct peer *p, char *text)
{
	struct evbuffer *out = bufferevent_get_output(p->bev);

	/* It may be long: it is not copied. */
	if (text != NULL &&
	    evbuffer_add_reference(out, text, strlen(text), text_free, text) == -1) {
		free(text);
		text = NULL;
	}
	if (text == NULL)
		evbuffer_add_printf(out, "{\"error\":\"out of memory\"}");
	evbuffer_add(out, "\n", 1);
}

/* The whole of an answer; as peer_text(). */
static void
peer_send(struct peer *p, char *text)
{
	peer_text(p, text);
	/* From here on what is unread is less. */
	peer_enter(p, PEER_ANSWER, ANSWER_S);
}

/* Takes over an object, or the whole of an answer; NULL: memory was out, and that is said. */
static void
peer_line(struct peer *p, json_t *o)
{
	char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);

	json_decref(o);
	peer_text(p, text);
}

static void
peer_answer(struct peer *p, json_t *o)
{
	peer_line(p, o);
	peer_enter(p, PEER_ANSWER, ANSWER_S);
}

static void
peer_error(struct peer *p, const char *text)
{
	peer_answer(p, ctl_error(text));
}

/* Whoever serves now is to be asked; nothing was done. */
static void
peer_elsewhere(struct peer *p)
{
	json_t *o = ctl_error(CTL_ELSEWHERE);

	jset_bool(o, "again", true);
	peer_answer(p, o);
}

static void
met_cb(void *arg, const struct census_found *found)
{
	struct peer *p = arg;

	MAGIC_CHECK(p, PEER_MAGIC);
	p->census = NULL;
	peer_answer(p, found == NULL ? NULL : p->later.meet(p->ctl->env, &p->later, found));
}

/* On the scribe's thread. */
static void
answer_work(struct scribe_job *j)
{
	struct long_answer *a = (struct long_answer *)j;
	size_t n = 0;
	struct conn_info *conns = a->parts == NULL ? NULL : conn_parts_merge(a->parts, &n);
	json_t *o = conns == NULL && a->parts != NULL
	    ? NULL
	    : a->later.report(a->env, &a->later, conns, n);

	a->text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
	json_decref(o);
	free(conns);
	conn_parts_free(&a->parts);
}

static void
answer_done(struct scribe_job *j, bool dropped)
{
	struct long_answer *a = (struct long_answer *)j;
	struct peer *p = a->peer;

	if (p != NULL)
		p->answer = NULL;
	if (p == NULL || dropped)
		free(a->text);
	else
		peer_send(p, a->text);
	conn_parts_free(&a->parts);
	policy_unref(&a->later.policy);
	free(a);
}

/* Takes over the parts. */
static void
answer_begin(struct peer *p, struct conn_parts *parts)
{
	const struct ctl_env *env = p->ctl->env;
	struct long_answer *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		conn_parts_free(&parts);
		peer_answer(p, NULL);
		return;
	}
	a->job = (struct scribe_job){ .work = answer_work, .done = answer_done };
	a->peer = p;
	a->env = env;
	a->scribe = p->later.order ? env->clerk : env->scribe;
	a->later = p->later;
	a->later.policy = policy_ref(env->status->policy);
	a->parts = parts;
	p->answer = a;
	peer_enter(p, PEER_GATHER, ANSWER_S);
	if (!scribe_ask(a->scribe, &a->job)) {
		answer_work(&a->job);
		answer_done(&a->job, false);
	}
}

static void
taken_cb(void *arg, struct conn_parts *parts)
{
	struct peer *p = arg;

	MAGIC_CHECK(p, PEER_MAGIC);
	p->query = NULL;
	answer_begin(p, parts);
}

/* What workers have seen goes on, as far as it is read. */
static void
stream_more(void *arg)
{
	struct peer *p = arg;
	struct evbuffer *out;

	MAGIC_CHECK(p, PEER_MAGIC);
	out = bufferevent_get_output(p->bev);
	if (p->first != NULL) {
		if (!tapping_ready(p->tapping))
			return;
		peer_line(p, p->first);
		p->first = NULL;
	}
	if (!tapping_is_over(p->tapping) && evbuffer_get_length(out) >= STREAM_FULL)
		return;
	if (tapping_pull(p->tapping, out))
		return;
	stream_free(p);
	bufferevent_setwatermark(p->bev, EV_WRITE, 0, 0);
	peer_enter(p, PEER_ANSWER, ANSWER_S);
}

/* Takes over the first line of the answer. */
static void
peer_stream(struct peer *p, json_t *first)
{
	const char *why = "there are as many captures and traces as there may be";

	if (p->ctl->nstreams < TAPS_MAX)
		p->tapping = tapping_new(p->ctl->env, &p->later.tap, p->later.for_ms, p->uid,
		    stream_more, p, &why);
	if (p->tapping == NULL) {
		json_decref(first);
		peer_error(p, why);
		return;
	}
	p->ctl->nstreams++;
	p->first = first;
	p->state = PEER_STREAM;
	p->hurried = false;
	event_del(p->deadline);
	bufferevent_setwatermark(p->bev, EV_WRITE, STREAM_LOW, 0);
	bufferevent_set_max_single_write(p->bev, STREAM_WRITE);
}

/* Takes over the first line of the answer. Where too many wait already, that is all of it. */
static void
peer_stay(struct peer *p, json_t *first)
{
	if (p->ctl->nstaying == STAY_MAX) {
		peer_answer(p, first);
		return;
	}
	p->ctl->nstaying++;
	p->state = PEER_STAY;
	p->hurried = false;
	event_del(p->deadline);
	peer_line(p, first);
}

void
ctl_over(struct ctl *ctl, json_t *o)
{
	struct peer *p;

	LIST_FOREACH(p, &ctl->peers, entry) {
		if (p->state != PEER_STAY)
			continue;
		ctl->nstaying--;
		peer_enter(p, PEER_LINGER, LINGER_S);
		peer_line(p, json_incref(o));
	}
	json_decref(o);
}

/* It wants the clients, or the connections, of all workers. */
static void
peer_gather(struct peer *p)
{
	const struct ctl_env *env = p->ctl->env;
	const struct census_env census = { env->connlist, env->clerk, env->sessions };
	const struct who *who = p->later.who.text[0] == '\0' ? NULL : &p->later.who;
	const char *why;

	if (p->later.meet != NULL)
		p->census = census_ask(&census, who != NULL, who, met_cb, p, &why);
	else
		p->query = connlist_take(env->connlist, &p->later.view.filter, taken_cb, p, &why);
	if (p->census != NULL || p->query != NULL)
		peer_enter(p, PEER_GATHER, GATHER_S);
	else
		peer_error(p, why);
}

static void
peer_serve(struct peer *p, const char *line, size_t len)
{
	json_t *answer;

	if (p->ctl->retired) {
		peer_elsewhere(p);
		return;
	}
	answer = ctl_request(p->ctl->env, p->uid, line, len, &p->later);
	if (p->later.for_ms > 0) {
		peer_stream(p, answer);
		return;
	}
	if (p->later.to_the_end)
		peer_stay(p, answer);
	else if (p->later.report == NULL && p->later.meet == NULL)
		peer_answer(p, answer);
	else if (p->later.no_conns)
		answer_begin(p, NULL);
	else
		peer_gather(p);
}

static void
peer_too_slow(struct peer *p)
{
	static const char late[] = "{\"error\":\"no request came in time\"}\n";

	if (p->state == PEER_REQUEST)
		(void)send(bufferevent_getfd(p->bev), late, sizeof(late) - 1,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	peer_free(p);
}

/* No room is left: who neither asks nor reads goes, now if they have had their moment. */
static void
hurry_peers(struct ctl *ctl)
{
	const uint64_t now = clock_ms();
	struct peer *p, *next;

	for (p = LIST_FIRST(&ctl->peers); p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		if (p->hurried || !is_theirs(p))
			continue;
		if (p->state != PEER_ANSWER && now >= p->since_ms + CROWDED_MS)
			peer_too_slow(p);
		else
			peer_hurry(p);
	}
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
	if (p->state == PEER_STREAM)
		stream_more(p);
	if (p->state != PEER_ANSWER || evbuffer_get_length(bufferevent_get_output(bev)) > 0)
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
	case PEER_STAY:
	case PEER_LINGER:
		peer_free(p);
		break;
	case PEER_STREAM:
		tapping_stop(p->tapping);
		stream_more(p);
		break;
	case PEER_GATHER:
	case PEER_ANSWER:
		break;
	}
}

/* It goes if it still keeps others waiting; else it has its time. */
static void
peer_hurried(struct peer *p)
{
	uint64_t now = clock_ms(), left_ms = p->end_ms > now ? p->end_ms - now : 0;
	const struct timeval tv = { (time_t)(left_ms / 1000),
		(suseconds_t)(left_ms % 1000) * 1000 };
	const size_t left = evbuffer_get_length(bufferevent_get_output(p->bev));

	if (p->ctl->npeers < PEERS_MAX) {
		p->hurried = false;
		event_add(p->deadline, &tv);
	} else if (p->state == PEER_ANSWER && left_ms > 0 && p->left >= left + CROWDED_BYTES) {
		peer_hurry(p);
	} else {
		peer_too_slow(p);
	}
}

static void
peer_deadline_cb(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	const char *late;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p, PEER_MAGIC);
	if (p->hurried) {
		peer_hurried(p);
		return;
	}
	switch (p->state) {
	case PEER_REQUEST:
		peer_error(p, "no request came in time");
		break;
	case PEER_GATHER:
		late = p->answer != NULL ? "the answer takes too long"
		                         : "a worker does not answer";
		peer_forget(p);
		peer_error(p, late);
		break;
	case PEER_STREAM:
	case PEER_STAY:
		break;
	case PEER_ANSWER:
	case PEER_LINGER:
		peer_free(p);
		break;
	}
}

/* Who it is, at the time of its connect(). Whoever cannot be told is nobody special. */
static uid_t
peer_uid(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 ? peer.uid : (uid_t)-1;
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
	p->uid = peer_uid(fd);
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
	else if (ctl->npeers == PEERS_MAX)
		hurry_peers(ctl);
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
		ctl_accept(ctl);
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
ctl_retire(struct ctl *ctl)
{
	struct peer *p;

	ctl->retired = true;
	event_del(ctl->accept);
	event_del(ctl->retry);
	LIST_FOREACH(p, &ctl->peers, entry) {
		if (p->state != PEER_GATHER)
			continue;
		peer_forget(p);
		peer_elsewhere(p);
	}
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
