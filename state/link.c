/* link.c: one connection to Redis: made, kept, watched by timers, and made again */
#include "config.h"

#include "state/link.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "state/reply.h"
#include "state/finder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>

/*
 *	IDLE ─┬─► FIND the master ─┬─► DIAL ─► GREET ──► READY
 *	  ▲   └───────────────────►┘             │          ▲ a script worked
 *	  │                                      ▼          ▼ one did not
 *	  └── any failure of the connection: wait, with jitter ◄──── TROUBLED
 *
 * That Redis answers does not mean that it serves: it may be full, or its ACL may forbid a command
 * to a script. So a script that does all of it is tried first, and then until it works.
 */

/* From the first SYN to READY. One attempt at a time: nobody else waits for it. */
#define DIAL_MS 1000
#define WAIT_MIN_MS 50
#define WAIT_MAX_MS 1000
/* Where the next attempt will hardly be better; and between tries of a script. */
#define LAST_MAX_MS 4000
#define TRY_MIN_MS 500
#define TRY_MAX_MS 2000
/* Redis may be set otherwise meanwhile. */
#define CHECK_MS 60000
/* Is the master still where it was? While that is wanted, and while all is well. */
#define FIND_MS 250
#define WATCH_MS 1000
/* Is a server master that is named before this one? */
#define FORMER_MS 3000
/* Nodes of a Redis Cluster that send us to one another, in one attempt. */
#define HOPS_MAX 4

#define LINK_MAGIC 0x6c696e6bu

enum link_state { IDLE, FIND, DIAL, GREET, TROUBLED, READY };

struct link {
	MAGIC_MEMBER
	struct event_base *base;
	const struct link_conf *conf;
	struct faults *faults;
	const struct link_ops *ops;
	void *arg;
	enum link_state state;
	struct wire *wire;		/* NULL: none */
	struct finder *finder;
	struct event *timer;
	struct wire_server to;		/* in use, or tried last */
	size_t server;			/* the next to try, without Sentinels */
	unsigned hops;
	uint64_t mark;			/* of the password that was sent */
	unsigned wait_ms;
	unsigned try_ms;		/* until the next try, while TROUBLED */
	bool trying;			/* a try's answer is owed */
	char try_key[NAMES_KEY_MAX];
	char sha[SCRIPT_COUNT][41];
	bool loading;			/* scripts */
	char peer[WIRE_NAME_MAX];
	char role[sizeof(((struct link_info *)NULL)->role)];
	char eviction[sizeof(((struct link_info *)NULL)->eviction)];
	uint64_t since_ms, connects;
	int64_t ahead_ms;		/* of Redis' clock over ours; 0: not known */
};

static void dial(struct link *l, const struct wire_server *to);

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

/* Until the next attempt. The first one is made at once: a failover may be over already. */
static unsigned
next_wait(struct link *l, enum fault why)
{
	unsigned max = fault_kind(why) == FAULT_ENDS ? WAIT_MAX_MS : LAST_MAX_MS;
	unsigned ms = l->wait_ms == 0 ? 20 : l->wait_ms;

	if (why == FAULT_ELSEWHERE || ((why == FAULT_WRONGPASS || why == FAULT_AUTH) &&
	    login_changed(&l->conf->at, l->mark)))
		return jitter(20);
	l->wait_ms = l->wait_ms == 0 ? WAIT_MIN_MS : l->wait_ms * 2;
	if (l->wait_ms > max)
		l->wait_ms = max;
	return jitter(ms);
}

/* peer: who it is about. words: Redis' own, or NULL. */
static void
link_fail_at(struct link *l, enum fault why, const char *peer, const char *words)
{
	bool was_ready = l->state == READY, finding = l->state == FIND;
	struct wire *w = l->wire;

	if (l->state == IDLE)
		return;
	fault_met(l->faults, why, peer[0] != '\0' ? peer : "-", words);
	l->state = IDLE;
	l->wire = NULL;
	l->loading = l->trying = false;
	if (was_ready)
		l->since_ms = clock_ms();
	else if (why != FAULT_ELSEWHERE && l->conf->sentinel == NULL)
		l->server++;
	else if (why != FAULT_ELSEWHERE && !finding)
		finder_next(l->finder);
	link_set_timer(l, next_wait(l, why));
	if (l->conf->sentinel == NULL)
		finder_stop(l->finder);
	else
		finder_go_on(l->finder, FIND_MS, l->conf->nservers);
	if (was_ready)
		l->ops->ready(l->arg, false);
	wire_free(&w);
}

static void
link_fail_saying(struct link *l, enum fault why, const char *words)
{
	link_fail_at(l, why, l->peer, words);
}

void
link_fail(struct link *l, enum fault why)
{
	link_fail_saying(l, why, NULL);
}

bool
link_ask(struct link *l, int argc, const char **argv, const size_t *len, link_reply_f cb,
    void *arg)
{
	return l->state == READY && wire_ask(l->wire, argc, argv, len, cb, arg);
}

#define RUN_ARGS_MAX 1024

bool
link_run(struct link *l, enum script s, int nkeys, int argc, const char **argv,
    const size_t *len, link_reply_f cb, void *arg)
{
	const char *all[RUN_ARGS_MAX + 3];
	size_t lens[RUN_ARGS_MAX + 3];
	char keys[16];

	if (l->state != READY || argc > RUN_ARGS_MAX)
		return false;
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
	return wire_ask(l->wire, argc + 3, all, lens, cb, arg);
}

/* Becoming ready, and being so no longer. */

static void
checked_cb(void *arg, const redisReply *r)
{
	static const char field[] = "maxmemory_policy:";
	const char *at = r == NULL || r->type != REDIS_REPLY_STRING ? NULL : strstr(r->str, field);
	char words[FAULT_WORDS];
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	/* Who may not ask does not know. */
	if (at == NULL)
		return;
	at += sizeof(field) - 1;
	snprintf(l->eviction, sizeof(l->eviction), "%.*s", (int)strcspn(at, "\r\n"), at);
	if (strcmp(l->eviction, "noeviction") == 0)
		return;
	snprintf(words, sizeof(words), "its maxmemory-policy is %s", l->eviction);
	fault_met(l->faults, FAULT_EVICTION, l->peer, words);
}

/* How Redis is set, now and then. One that is subscribed may not be asked. */
static void
check_redis(struct link *l)
{
	const char *argv[] = { "INFO", "memory" };

	if (l->ops->push != NULL)
		return;
	link_set_timer(l, CHECK_MS);
	(void)wire_ask(l->wire, 2, argv, NULL, checked_cb, l);
}

static void
now_ready(struct link *l)
{
	fault_over(l->faults);
	event_del(l->timer);
	l->state = READY;
	l->since_ms = clock_ms();
	/* One that listens has shown only that it can be made: it may not subscribe. */
	if (l->ops->push == NULL)
		l->wait_ms = 0;
	l->connects++;
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_REDIS),
	    "redis %s: ready", l->peer);
	check_redis(l);
	if (l->conf->sentinel != NULL)
		finder_go_on(l->finder, WATCH_MS, l->conf->nservers);
	else if (l->hops == 0 && l->server % l->conf->nservers > 0)
		finder_go_on(l->finder, FORMER_MS, l->server % l->conf->nservers);
	l->ops->ready(l->arg, true);
}

/* The connection stays; nobody is to use it before a try has worked. */
static void
now_troubled(struct link *l, enum fault why, const char *words)
{
	bool was_ready = l->state == READY;

	fault_met(l->faults, why, l->peer, words);
	if (l->state == TROUBLED || was_ready)
		l->try_ms = l->try_ms * 2 > TRY_MAX_MS ? TRY_MAX_MS : l->try_ms * 2;
	l->state = TROUBLED;
	link_set_timer(l, jitter(l->try_ms));
	if (was_ready) {
		l->since_ms = clock_ms();
		l->ops->ready(l->arg, false);
	}
}

/*
 * "MOVED SLOT ADDRESS:PORT", of a Redis Cluster: all our names are in one slot, and its master is
 * there. False: it does not say where.
 */
static bool
follow_moved(struct link *l, const char *words)
{
	const char *at = strrchr(words, ' ');
	struct wire_server to = { .path = "" };
	struct wire *w = l->wire;

	if (at == NULL || l->hops >= HOPS_MAX || addrport_parse(&to.address, at + 1, 0) == -1)
		return false;
	l->hops++;
	l->wire = NULL;
	l->loading = false;
	dial(l, &to);
	wire_free(&w);
	return true;
}

static void
tried_cb(void *arg, const redisReply *r)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	if (r == NULL)
		return;
	l->trying = false;
	if (r->type == REDIS_REPLY_INTEGER)
		now_ready(l);
	else if (r->type == REDIS_REPLY_ERROR && fault_of(r->str) == FAULT_MOVED &&
	    follow_moved(l, r->str))
		return;
	else if (r->type != REDIS_REPLY_ERROR)
		link_fail(l, FAULT_PROTOCOL);
	else if (fault_kind(fault_of(r->str)) == FAULT_TROUBLES)
		now_troubled(l, fault_of(r->str), r->str);
	else
		link_fail_saying(l, fault_of(r->str), r->str);
}

static void
send_try(struct link *l)
{
	const char *argv[] = { "EVALSHA", l->sha[SCRIPT_TRY], "1", l->try_key };

	l->trying = true;
	if (!wire_ask(l->wire, 4, argv, NULL, tried_cb, l))
		link_fail(l, FAULT_NO_MEMORY);
}

/* An answer in the greeting that is not what it must be ends the attempt. */
static bool
greeted(struct link *l, const redisReply *r, int type)
{
	if (r == NULL)
		return false;
	if (r->type == type || (type == REDIS_REPLY_STRING && r->type == REDIS_REPLY_STATUS))
		return true;
	if (r->type == REDIS_REPLY_ERROR)
		link_fail_saying(l, fault_of(r->str), r->str);
	else
		link_fail(l, FAULT_PROTOCOL);
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
	l->try_ms = TRY_MIN_MS;
	send_try(l);
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
			if (wire_ask(l->wire, 3, argv, NULL, loaded_cb, x))
				continue;
		}
		free(x);
		return -1;
	}
	return 0;
}

static void
open_cb(void *arg)
{
	const char *role[] = { "ROLE" }, *now[] = { "TIME" };
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	l->state = GREET;
	if (!login_send(&l->conf->at, l->wire, auth_cb, l, &l->mark) ||
	    !wire_ask(l->wire, 1, role, NULL, role_cb, l) || load_scripts(l) == -1 ||
	    !wire_ask(l->wire, 1, now, NULL, time_cb, l))
		link_fail(l, FAULT_NO_MEMORY);
}

/* Moving bytes. */

/* An answer to somebody who waits, while the connection is in use; NULL is what an error is. */
static void
link_take_answer(struct link *l, link_reply_f cb, void *cb_arg, const redisReply *r)
{
	enum fault why = r->type == REDIS_REPLY_ERROR ? fault_of(r->str) : FAULT_COUNT;

	if (why == FAULT_COUNT && l->state == READY) {
		l->try_ms = TRY_MIN_MS;
		l->wait_ms = 0;
	}
	if (cb != NULL)
		cb(cb_arg, why == FAULT_COUNT ? r : NULL);
	if (why == FAULT_COUNT || l->state < TROUBLED)
		return;
	switch (fault_kind(why)) {
	case FAULT_PASSES:
		fault_add(l->faults, why);
		if (why == FAULT_NOSCRIPT && !l->loading && load_scripts(l) == -1)
			link_fail(l, FAULT_NO_MEMORY);
		break;
	case FAULT_TROUBLES:
		/* While it is subscribed, nothing can be tried on it. */
		if (l->state == READY && l->ops->push != NULL)
			link_fail_saying(l, why, r->str);
		else if (l->state == READY)
			now_troubled(l, why, r->str);
		else
			fault_add(l->faults, why);
		break;
	case FAULT_ENDS:
	case FAULT_LASTS:
		link_fail_saying(l, why, r->str);
		break;
	}
}

/* Messages of a subscription are no answers; every other reply is one. */
static bool
push_cb(void *arg, const redisReply *r)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	if (l->ops->push == NULL || l->state < TROUBLED || r->type != REDIS_REPLY_ARRAY ||
	    r->elements != 3 || r->element[0]->type != REDIS_REPLY_STRING ||
	    strcmp(r->element[0]->str, "message") != 0)
		return false;
	l->ops->push(l->arg, r);
	return true;
}

static void
link_reply_cb(void *arg, link_reply_f cb, void *cb_arg, const redisReply *r)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	/* What is asked here itself looks at its errors. */
	if (l->state < TROUBLED || cb == loaded_cb || cb == tried_cb || cb == checked_cb)
		cb(cb_arg, r);
	else
		link_take_answer(l, cb, cb_arg, r);
}

static void
unasked_cb(void *arg, const redisReply *r)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	if (r->type == REDIS_REPLY_ERROR)
		link_fail_saying(l, fault_of(r->str), r->str);
	else
		link_fail(l, FAULT_PROTOCOL);
}

static void
end_cb(void *arg, enum fault why, const char *words)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	link_fail_saying(l, why, words);
}

static const struct wire_ops link_wire_ops = {
	.open = open_cb,
	.push = push_cb,
	.reply = link_reply_cb,
	.unasked = unasked_cb,
	.end = end_cb,
};

static void
dial(struct link *l, const struct wire_server *to)
{
	l->state = DIAL;
	l->to = *to;
	link_set_timer(l, DIAL_MS);
	wire_server_name(to, l->peer);
	l->role[0] = l->eviction[0] = '\0';
	l->wire = wire_new(l->base, to, l->conf->tls, &link_wire_ops, l);
	if (l->wire == NULL)
		link_fail(l, FAULT_CONNECT);
}

/* Where the master is. */

static bool
same_server(const struct wire_server *a, const struct wire_server *b)
{
	return strcmp(a->path, b->path) == 0 &&
	    (a->path[0] != '\0' || (addr_equal(&a->address.addr, &b->address.addr) &&
	                                a->address.port == b->address.port));
}

static void
master_cb(void *arg, const struct wire_server *master, const char *who)
{
	char name[WIRE_NAME_MAX], words[FAULT_WORDS];
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	if (l->state == FIND) {
		dial(l, master);
		return;
	}
	if (same_server(master, &l->to))
		return;
	if (l->state == IDLE) {
		link_set_timer(l, jitter(20));
		return;
	}
	wire_server_name(master, name);
	if (l->conf->sentinel != NULL) {
		snprintf(words, sizeof(words), "the master is %.60s, says the Sentinel %.60s",
		    name, who);
	} else {
		for (l->server = 0; !same_server(master, &l->conf->servers[l->server]);)
			l->server++;
		snprintf(words, sizeof(words), "%.110s is a master, too, and named before it",
		    name);
	}
	link_fail_saying(l, FAULT_ELSEWHERE, words);
}

static void
find_failed_cb(void *arg, enum fault why, const char *peer, const char *words)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	if (l->state == FIND)
		link_fail_at(l, why, peer, words);
}

static const struct finder_ops finder_ops = { .master = master_cb, .failed = find_failed_cb };

/* Time to try again, or an attempt took too long. */
static void
link_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	MAGIC_CHECK(l, LINK_MAGIC);
	(void)fd;
	(void)what;
	if (l->state == READY) {
		check_redis(l);
		return;
	}
	if (l->state == TROUBLED && !l->trying) {
		link_set_timer(l, DIAL_MS);
		send_try(l);
		return;
	}
	if (l->state != IDLE) {
		link_fail_saying(l, FAULT_TIMEOUT, l->state != DIAL || l->conf->tls == NULL ? NULL
		    : "timeout: TLS is not answered there");
		return;
	}
	l->hops = 0;
	if (l->conf->sentinel == NULL) {
		dial(l, &l->conf->servers[l->server % l->conf->nservers]);
	} else {
		/* It has a timer of its own. */
		l->state = FIND;
		finder_find(l->finder);
	}
}

struct link *
link_new(struct event_base *base, const struct link_conf *conf,
    const char try_key[NAMES_KEY_MAX], struct faults *faults, const struct link_ops *ops, void *arg)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	MAGIC_SET(l, LINK_MAGIC);
	l->base = base;
	l->conf = conf;
	memcpy(l->try_key, try_key, sizeof(l->try_key));
	l->faults = faults;
	l->ops = ops;
	l->arg = arg;
	l->since_ms = clock_ms();
	l->timer = evtimer_new(base, link_timer_cb, l);
	l->finder = finder_new(base, conf, faults, &finder_ops, l);
	if (l->timer == NULL || l->finder == NULL) {
		link_free(&l);
		return NULL;
	}
	link_set_timer(l, 0);
	return l;
}

void
link_free(struct link **lp)
{
	struct link *l = *lp;

	if (l == NULL)
		return;
	/* The last releases still go out. */
	if (l->state == READY)
		wire_flush(l->wire);
	l->state = IDLE;
	wire_free(&l->wire);
	finder_free(&l->finder);
	if (l->timer != NULL)
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
	memcpy(info->eviction, l->eviction, sizeof(info->eviction));
}
