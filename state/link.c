/* link.c: one connection to Redis: made, kept, watched by timers, and made again */
#include "config.h"

#include "state/link.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "state/reply.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>

/*
 *	IDLE ──► DIAL ──┬─► SENTINEL ─► DIAL the master ─┬─► GREET ──► READY
 *	  ▲             └───────────────────────────────►┘               │
 *	  └──────────────── any failure: wait, with jitter ◄─────────────┘
 *
 * Of hiredis the parser and the formatter are used. Its own asynchronous connection asserts on
 * what a server sends unasked, and knows no timer; this one believes nothing, and a new one of it
 * shares nothing with the last: no late answer can be taken for another's.
 */

/* From the first SYN to READY. One attempt at a time: nobody else waits for it. */
#define DIAL_MS 1000
/* Answers that are owed. */
#define ASKED_MAX 65536
#define WAIT_MIN_MS 50
#define WAIT_MAX_MS 1000
#define READ_MAX 16384

#define LINK_MAGIC 0x6c696e6bu

enum link_state { IDLE, DIAL, SENTINEL, GREET, READY };

struct slot {
	STAILQ_ENTRY(slot) entry;
	uint64_t number;
	link_reply_f cb;	/* NULL: nobody wants it */
	void *arg;
};

STAILQ_HEAD(slots, slot);

struct link {
	MAGIC_MEMBER
	struct event_base *base;
	const struct link_conf *conf;
	struct faults *faults;
	const struct link_ops *ops;
	void *arg;
	enum link_state state;
	bool ask_sentinel;		/* the connection that is made is to a Sentinel */
	unsigned generation;		/* of the connection: tells whether a callback ended it */
	int fd;
	struct event *read_ev, *write_ev, *timer;
	struct reply_parser *parser;
	struct buf out;
	struct slots asked;
	size_t nasked;
	uint64_t next_number;
	size_t server;			/* the next to try */
	unsigned wait_ms;
	char sha[SCRIPT_COUNT][41];
	bool loading;			/* scripts */
	char peer[sizeof(((struct link_info *)NULL)->server)];
	char role[sizeof(((struct link_info *)NULL)->role)];
	uint64_t since_ms, connects;
	int64_t ahead_ms;		/* of Redis' clock over ours; 0: not known */
	struct log_limit log;
};

static void dial(struct link *l, const struct link_server *to);

bool
link_ready(const struct link *l)
{
	return l->state == READY;
}

bool
link_returned(const struct link *l, uint64_t ms)
{
	return l->state == READY && l->connects > 1 && clock_ms() - l->since_ms < ms;
}

uint64_t
link_time(const struct link *l)
{
	return l->ahead_ms == 0 ? 0 : (uint64_t)((int64_t)clock_ms() + l->ahead_ms);
}

void
link_note_time(struct link *l, uint64_t t)
{
	int64_t ahead = (int64_t)t - (int64_t)clock_ms();

	/* An answer is as old as its way was long: the quickest one is the truest. */
	if (t > INT64_MAX / 2)
		return;
	if (l->ahead_ms == 0 || ahead > l->ahead_ms)
		l->ahead_ms = ahead;
	else
		l->ahead_ms -= (l->ahead_ms - ahead) / 64;
}

static unsigned
jitter(unsigned ms)
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		return ms;
	return ms / 2 + r % (ms / 2 + 1);
}

static void
link_set_timer(struct link *l, unsigned ms)
{
	const struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	event_add(l->timer, &tv);
}

/* Drops the connection; the caller answers whoever still waits. */
static void
link_hang_up(struct link *l)
{
	l->generation++;
	if (l->read_ev != NULL)
		event_free(l->read_ev);
	if (l->write_ev != NULL)
		event_free(l->write_ev);
	l->read_ev = l->write_ev = NULL;
	if (l->fd != -1)
		close(l->fd);
	l->fd = -1;
	reply_parser_free(&l->parser);
	buf_fini(&l->out);
	l->loading = false;
}

void
link_fail(struct link *l, enum fault why)
{
	struct slots asked = STAILQ_HEAD_INITIALIZER(asked);
	bool was_ready = l->state == READY;
	unsigned left_out;
	struct slot *s;

	if (l->state == IDLE)
		return;
	fault_add(l->faults, why);
	if (log_allow(&l->log, clock_ms(), &left_out))
		log_warn("redis %s: %s", l->peer[0] != '\0' ? l->peer : "-", fault_name(why));
	link_hang_up(l);
	l->state = IDLE;
	if (was_ready) {
		l->since_ms = clock_ms();
		l->wait_ms = 0;
	} else {
		l->server++;
	}
	/* The first attempt is made at once: a failover may be over already. */
	link_set_timer(l, l->wait_ms == 0 ? jitter(20) : jitter(l->wait_ms));
	l->wait_ms = l->wait_ms == 0 ? WAIT_MIN_MS : l->wait_ms * 2;
	if (l->wait_ms > WAIT_MAX_MS)
		l->wait_ms = WAIT_MAX_MS;
	STAILQ_CONCAT(&asked, &l->asked);
	l->nasked = 0;
	if (was_ready)
		l->ops->ready(l->arg, false);
	while ((s = STAILQ_FIRST(&asked)) != NULL) {
		STAILQ_REMOVE_HEAD(&asked, entry);
		if (s->cb != NULL)
			s->cb(s->arg, NULL);
		free(s);
	}
}

static void
link_flush(struct link *l)
{
	while (buf_len(&l->out) > 0) {
		ssize_t n = send(l->fd, buf_head(&l->out), buf_len(&l->out), MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			event_add(l->write_ev, NULL);
			return;
		}
		/* Reading finds out that it is broken: nothing is called back from here. */
		if (n == -1)
			return;
		buf_drain(&l->out, (size_t)n);
	}
}

static uint64_t
link_send(struct link *l, int argc, const char **argv, const size_t *len, link_reply_f cb,
    void *arg)
{
	struct slot *s = l->nasked < ASKED_MAX ? calloc(1, sizeof(*s)) : NULL;
	char *text = NULL;
	int n;

	if (s == NULL)
		return 0;
	n = (int)redisFormatCommandArgv(&text, argc, argv, len);
	if (n < 0 || buf_add(&l->out, text, (size_t)n) == -1) {
		free(text);
		free(s);
		return 0;
	}
	free(text);
	s->number = ++l->next_number;
	s->cb = cb;
	s->arg = arg;
	STAILQ_INSERT_TAIL(&l->asked, s, entry);
	l->nasked++;
	/* Not before other events of this turn have run: what they ask leaves with it. */
	event_active(l->write_ev, EV_WRITE, 0);
	return s->number;
}

uint64_t
link_ask(struct link *l, int argc, const char **argv, const size_t *len, link_reply_f cb,
    void *arg)
{
	return l->state == READY ? link_send(l, argc, argv, len, cb, arg) : 0;
}

#define RUN_ARGS_MAX 1024

uint64_t
link_run(struct link *l, enum script s, int nkeys, int argc, const char **argv,
    const size_t *len, link_reply_f cb, void *arg)
{
	const char *all[RUN_ARGS_MAX + 3];
	size_t lens[RUN_ARGS_MAX + 3];
	char keys[16];

	if (l->state != READY || argc > RUN_ARGS_MAX)
		return 0;
	snprintf(keys, sizeof(keys), "%d", nkeys);
	all[0] = "EVALSHA";
	all[1] = l->sha[s];
	all[2] = keys;
	for (int i = 0; i < 3; i++)
		lens[i] = strlen(all[i]);
	for (int i = 0; i < argc; i++) {
		all[i + 3] = argv[i];
		lens[i + 3] = len != NULL ? len[i] : strlen(argv[i]);
	}
	return link_send(l, argc + 3, all, lens, cb, arg);
}

void
link_forget(struct link *l, uint64_t number)
{
	struct slot *s;

	STAILQ_FOREACH(s, &l->asked, entry)
		if (s->number == number)
			s->cb = NULL;
}

/* Becoming ready. */

static void
now_ready(struct link *l)
{
	event_del(l->timer);
	l->state = READY;
	l->since_ms = clock_ms();
	l->wait_ms = 0;
	l->connects++;
	log_info("redis %s: ready", l->peer);
	l->ops->ready(l->arg, true);
}

/* An answer in the greeting that is not what it must be ends the attempt. */
static bool
greeted(struct link *l, const redisReply *r, int type)
{
	if (r == NULL)
		return false;
	if (r->type == type || (type == REDIS_REPLY_STRING && r->type == REDIS_REPLY_STATUS))
		return true;
	link_fail(l, r->type == REDIS_REPLY_ERROR ? fault_of(r->str) : FAULT_PROTOCOL);
	return false;
}

static void
auth_cb(void *arg, const redisReply *r)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	(void)greeted(l, r, REDIS_REPLY_STATUS);
}

static void
role_cb(void *arg, const redisReply *r)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	if (!greeted(l, r, REDIS_REPLY_ARRAY))
		return;
	if (r->elements < 1 || r->element[0]->type != REDIS_REPLY_STRING) {
		link_fail(l, FAULT_PROTOCOL);
		return;
	}
	snprintf(l->role, sizeof(l->role), "%s", r->element[0]->str);
	if (strcmp(l->role, "master") != 0)
		link_fail(l, FAULT_ROLE);
}

#define LOADING_MAGIC 0x6c6f6164u

struct loading {
	MAGIC_MEMBER
	struct link *l;
	enum script s;
};

static void
loaded_cb(void *arg, const redisReply *r)
{
	struct loading *x = arg;
	struct link *l;
	enum script s;

	MAGIC_CHECK(x, LOADING_MAGIC);
	l = x->l;
	s = x->s;
	MAGIC_CLEAR(x);
	free(x);
	if (!greeted(l, r, REDIS_REPLY_STRING))
		return;
	if (r->len != 40) {
		link_fail(l, FAULT_PROTOCOL);
		return;
	}
	memcpy(l->sha[s], r->str, 41);
	if (s == SCRIPT_COUNT - 1)
		l->loading = false;
}

static void
time_cb(void *arg, const redisReply *r)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	if (!greeted(l, r, REDIS_REPLY_ARRAY))
		return;
	if (r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
	    r->element[1]->type != REDIS_REPLY_STRING) {
		link_fail(l, FAULT_PROTOCOL);
		return;
	}
	l->ahead_ms = 0;
	link_note_time(l, strtoull(r->element[0]->str, NULL, 10) * 1000 +
	    strtoull(r->element[1]->str, NULL, 10) / 1000);
	now_ready(l);
}

static int
load_scripts(struct link *l)
{
	l->loading = true;
	for (int i = 0; i < SCRIPT_COUNT; i++) {
		const char *argv[] = { "SCRIPT", "LOAD", script_text((enum script)i) };
		struct loading *x = malloc(sizeof(*x));

		if (x != NULL) {
			*x = (struct loading){ .l = l, .s = (enum script)i };
			MAGIC_SET(x, LOADING_MAGIC);
			if (link_send(l, 3, argv, NULL, loaded_cb, x) != 0)
				continue;
		}
		free(x);
		return -1;
	}
	return 0;
}

static void
greet(struct link *l)
{
	const char *auth[3] = { "AUTH" }, *role[] = { "ROLE" }, *now[] = { "TIME" };
	int n = 1;

	l->state = GREET;
	if (l->conf->user != NULL)
		auth[n++] = l->conf->user;
	if (l->conf->password != NULL)
		auth[n++] = l->conf->password;
	if ((n > 1 && link_send(l, n, auth, NULL, auth_cb, l) == 0) ||
	    link_send(l, 1, role, NULL, role_cb, l) == 0 || load_scripts(l) == -1 ||
	    link_send(l, 1, now, NULL, time_cb, l) == 0)
		link_fail(l, FAULT_NO_MEMORY);
}

/* Sentinel's answer: the address and the port of the master. */
static void
master_cb(void *arg, const redisReply *r)
{
	struct link *l = arg;
	struct link_server to = { .path = "" };
	char text[ADDR_STRLEN];

	MAGIC_CHECK(l, LINK_MAGIC);
	if (r == NULL)
		return;
	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
	    r->element[0]->type != REDIS_REPLY_STRING ||
	    r->element[1]->type != REDIS_REPLY_STRING) {
		link_fail(l, FAULT_SENTINEL);
		return;
	}
	snprintf(text, sizeof(text),
	    strchr(r->element[0]->str, ':') != NULL ? "[%.45s]:%.5s" : "%.45s:%.5s",
	    r->element[0]->str, r->element[1]->str);
	if (addrport_parse(&to.address, text, 6379) == -1) {
		link_fail(l, FAULT_SENTINEL);
		return;
	}
	/* This connection is through; the slot that called is freed by whoever called. */
	link_hang_up(l);
	l->ask_sentinel = false;
	dial(l, &to);
}

static void
ask_sentinel(struct link *l)
{
	const char *argv[] = { "SENTINEL", "get-master-addr-by-name", l->conf->sentinel };

	l->state = SENTINEL;
	if (link_send(l, 3, argv, NULL, master_cb, l) == 0)
		link_fail(l, FAULT_NO_MEMORY);
}

/* Moving bytes. */

static void
take_reply(struct link *l, redisReply *r)
{
	struct slot *s = STAILQ_FIRST(&l->asked);
	enum fault why = FAULT_COUNT;
	bool in_use = l->state == READY;

	/* Messages of a subscription are no answers; every other reply is one. */
	if (l->ops->push != NULL && in_use && r->type == REDIS_REPLY_ARRAY && r->elements == 3 &&
	    r->element[0]->type == REDIS_REPLY_STRING &&
	    strcmp(r->element[0]->str, "message") == 0) {
		l->ops->push(l->arg, r);
		return;
	}
	if (s == NULL) {
		link_fail(l, r->type == REDIS_REPLY_ERROR ? fault_of(r->str) : FAULT_PROTOCOL);
		return;
	}
	STAILQ_REMOVE_HEAD(&l->asked, entry);
	l->nasked--;
	if (in_use && r->type == REDIS_REPLY_ERROR && s->cb != loaded_cb) {
		why = fault_of(r->str);
		if (!fault_fatal(why))
			fault_add(l->faults, why);
	}
	if (s->cb != NULL)
		s->cb(s->arg, why == FAULT_COUNT ? r : NULL);
	free(s);
	if (why == FAULT_NOSCRIPT && l->state == READY && !l->loading && load_scripts(l) == -1)
		link_fail(l, FAULT_NO_MEMORY);
	if (why != FAULT_COUNT && fault_fatal(why))
		link_fail(l, why);
}

static void
link_read_cb(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	char bytes[READ_MAX];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
	unsigned generation;
	redisReply *r;
	int whole;

	(void)what;
	MAGIC_CHECK(l, LINK_MAGIC);
	generation = l->generation;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		link_fail(l, l->state == DIAL ? FAULT_CONNECT : FAULT_CLOSED);
		return;
	}
	if (reply_feed(l->parser, bytes, (size_t)n) == -1) {
		link_fail(l, FAULT_NO_MEMORY);
		return;
	}
	while ((whole = reply_next(l->parser, &r)) == 1) {
		take_reply(l, r);
		freeReplyObject(r);
		if (l->generation != generation)
			return;
	}
	if (whole == -1)
		link_fail(l, FAULT_PROTOCOL);
}

static void
link_write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	int err = 0;
	socklen_t len = sizeof(err);

	MAGIC_CHECK(l, LINK_MAGIC);
	(void)what;
	if (l->state != DIAL) {
		link_flush(l);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1 || err != 0)
		link_fail(l, FAULT_CONNECT);
	else if (l->ask_sentinel)
		ask_sentinel(l);
	else
		greet(l);
}

static void
dial(struct link *l, const struct link_server *to)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct sockaddr_storage ss;
	const struct sockaddr *sa = (const struct sockaddr *)&ss;
	char text[ADDR_STRLEN];
	socklen_t len;
	int one = 1;

	l->state = DIAL;
	if (to->path[0] != '\0') {
		memcpy(sun.sun_path, to->path, sizeof(sun.sun_path));
		sa = (const struct sockaddr *)&sun;
		len = sizeof(sun);
		snprintf(l->peer, sizeof(l->peer), "%s", to->path);
	} else {
		len = addrport_to_sa(&to->address, &ss);
		snprintf(l->peer, sizeof(l->peer), "%s", addrport_str(&to->address, text));
	}
	l->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd == -1) {
		link_fail(l, FAULT_CONNECT);
		return;
	}
	if (to->path[0] == '\0')
		(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	l->parser = reply_parser_new();
	l->read_ev = event_new(l->base, l->fd, EV_READ | EV_PERSIST, link_read_cb, l);
	l->write_ev = event_new(l->base, l->fd, EV_WRITE, link_write_cb, l);
	if (l->parser == NULL || l->read_ev == NULL || l->write_ev == NULL) {
		link_fail(l, FAULT_NO_MEMORY);
		return;
	}
	if ((connect(l->fd, sa, len) == -1 && errno != EINPROGRESS) ||
	    event_add(l->write_ev, NULL) == -1 || event_add(l->read_ev, NULL) == -1)
		link_fail(l, FAULT_CONNECT);
}

/* Time to try again, or an attempt took too long. */
static void
link_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	(void)fd;
	(void)what;
	if (l->state != IDLE) {
		link_fail(l, FAULT_TIMEOUT);
		return;
	}
	link_set_timer(l, DIAL_MS);
	l->role[0] = '\0';
	l->ask_sentinel = l->conf->sentinel != NULL;
	dial(l, &l->conf->servers[l->server % l->conf->nservers]);
}

struct link *
link_new(struct event_base *base, const struct link_conf *conf, struct faults *faults,
    const struct link_ops *ops, void *arg)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	MAGIC_SET(l, LINK_MAGIC);
	l->base = base;
	l->conf = conf;
	l->faults = faults;
	l->ops = ops;
	l->arg = arg;
	l->fd = -1;
	l->since_ms = clock_ms();
	STAILQ_INIT(&l->asked);
	l->timer = evtimer_new(base, link_timer_cb, l);
	if (l->timer == NULL) {
		free(l);
		return NULL;
	}
	link_set_timer(l, 0);
	return l;
}

void
link_free(struct link **lp)
{
	struct link *l = *lp;
	struct slot *s;

	if (l == NULL)
		return;
	/* The last releases still go out. */
	if (l->state == READY)
		link_flush(l);
	link_hang_up(l);
	l->state = IDLE;
	while ((s = STAILQ_FIRST(&l->asked)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->asked, entry);
		if (s->cb != NULL)
			s->cb(s->arg, NULL);
		free(s);
	}
	event_free(l->timer);
	MAGIC_CLEAR(l);
	free(l);
	*lp = NULL;
}

void
link_describe(struct link *l, struct link_info *info)
{
	*info = (struct link_info){ .ready = l->state == READY, .since_ms = l->since_ms,
		.connects = l->connects };
	memcpy(info->server, l->peer, sizeof(info->server));
	memcpy(info->role, l->role, sizeof(info->role));
}
