/* finder.c: where the master is: a Sentinel is asked again and again, or servers in their order */
#include "config.h"

#include "state/finder.h"

#include "base/magic.h"
#include "state/link_conf.h"
#include "state/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

/*
 * A Sentinel is kept as long as it answers, since a failover is over for us as soon as it says so:
 * a master that is only cut off, or has become a replica, tells nobody. Of servers without
 * Sentinels two may be masters at once; then all proxies have to go to the same one, and that is
 * the first that is named.
 */

/* For one answer, and for the connection where there is none yet. */
#define ASK_MS 1000

#define FINDER_MAGIC 0x66696e64u

struct finder {
	MAGIC_MEMBER
	struct event_base *base;
	const struct link_conf *conf;
	struct faults *faults;
	const struct finder_ops *ops;
	void *arg;
	struct event *timer;
	struct wire *wire;		/* NULL: none */
	size_t at, n;			/* the server that is asked, and of how many */
	unsigned every_ms;		/* 0: only what finder_find() wants */
	bool wanted;			/* finder_find() */
	bool owed;			/* an answer */
	char peer[WIRE_NAME_MAX];
};

static void
finder_set_timer(struct finder *w, unsigned ms)
{
	const struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	event_add(w->timer, &tv);
}

static void
finder_rest(struct finder *w)
{
	w->owed = false;
	if (w->every_ms != 0)
		finder_set_timer(w, w->every_ms);
	else
		event_del(w->timer);
}

static void
finder_failed(struct finder *w, enum fault why, const char *words)
{
	bool wanted = w->wanted;

	wire_free(&w->wire);
	w->at++;
	w->wanted = false;
	finder_rest(w);
	if (wanted)
		w->ops->failed(w->arg, why, w->peer, words);
	else if (w->conf->sentinel != NULL)
		fault_met(w->faults, why, w->peer, words);
}

/* The caller goes on if it is a good answer of that type. */
static bool
finder_good(struct finder *w, const struct redisReply *r, bool good)
{
	const char *error = reply_error(r);

	if (r == NULL || good)
		return r != NULL;
	if (error != NULL)
		finder_failed(w, fault_of(error), error);
	else
		finder_failed(w, w->conf->sentinel != NULL ? FAULT_SENTINEL : FAULT_PROTOCOL, NULL);
	return false;
}

static void
finder_auth_cb(void *arg, const struct redisReply *r)
{
	struct finder *w = arg;

	MAGIC_CHECK(w, FINDER_MAGIC);
	(void)finder_good(w, r, r != NULL && reply_error(r) == NULL);
}

/* Sentinel's answer: the address and the port of the master. */
static void
told_cb(void *arg, const struct redisReply *r)
{
	struct finder *w = arg;
	struct wire_server to = { .path = "" };
	char text[ADDR_STRLEN];
	size_t len;
	const char *host = reply_string(r, 0, &len), *port = reply_string(r, 1, &len);
	bool good = reply_elements(r) == 2 && host != NULL && port != NULL;

	MAGIC_CHECK(w, FINDER_MAGIC);
	if (good) {
		snprintf(text, sizeof(text), strchr(host, ':') != NULL ? "[%.45s]:%.5s"
		    : "%.45s:%.5s", host, port);
		good = addrport_parse(&to.address, text, 6379) == 0;
	}
	if (!finder_good(w, r, good))
		return;
	w->wanted = false;
	finder_rest(w);
	w->ops->master(w->arg, &to, w->peer);
}

static void
finder_role_cb(void *arg, const struct redisReply *r)
{
	struct finder *w = arg;
	size_t len;
	const char *role = reply_string(r, 0, &len);
	const struct wire_server *s = &w->conf->servers[w->at % w->n];

	MAGIC_CHECK(w, FINDER_MAGIC);
	if (!finder_good(w, r, role != NULL))
		return;
	wire_free(&w->wire);
	w->at++;
	finder_rest(w);
	if (strcmp(role, "master") == 0)
		w->ops->master(w->arg, s, w->peer);
}

static bool
finder_question(struct finder *w)
{
	const char *find[] = { "SENTINEL", "get-master-addr-by-name", w->conf->sentinel };
	const char *role[] = { "ROLE" };

	return w->conf->sentinel != NULL ? wire_ask(w->wire, 3, find, NULL, told_cb, w)
	    : wire_ask(w->wire, 1, role, NULL, finder_role_cb, w);
}

static void
finder_open_cb(void *arg)
{
	struct finder *w = arg;
	const struct login *who = w->conf->sentinel != NULL ? &w->conf->at_sentinel : &w->conf->at;
	uint64_t mark;

	MAGIC_CHECK(w, FINDER_MAGIC);
	if (!login_send(who, w->wire, finder_auth_cb, w, &mark) || !finder_question(w))
		finder_failed(w, FAULT_NO_MEMORY, NULL);
}

static void
finder_reply_cb(void *arg, wire_reply_f cb, void *cb_arg, const struct redisReply *r)
{
	(void)arg;
	cb(cb_arg, r);
}

static void
finder_unasked_cb(void *arg, const struct redisReply *r)
{
	struct finder *w = arg;

	MAGIC_CHECK(w, FINDER_MAGIC);
	(void)finder_good(w, r, false);
}

static void
finder_end_cb(void *arg, enum fault why, const char *words)
{
	struct finder *w = arg;

	MAGIC_CHECK(w, FINDER_MAGIC);
	finder_failed(w, why, words);
}

static const struct wire_ops finder_wire_ops = {
	.open = finder_open_cb,
	.reply = finder_reply_cb,
	.unasked = finder_unasked_cb,
	.end = finder_end_cb,
};

static void
finder_ask(struct finder *w)
{
	const struct wire_server *s = &w->conf->servers[w->at % w->n];
	bool asked;

	w->owed = true;
	finder_set_timer(w, ASK_MS);
	if (w->wire != NULL) {
		asked = finder_question(w);
	} else {
		wire_server_name(s, w->peer);
		w->wire = wire_new(w->base, s, w->conf->tls, &finder_wire_ops, w);
		asked = w->wire != NULL;
	}
	if (!asked)
		finder_failed(w, FAULT_CONNECT, NULL);
}

static void
finder_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct finder *w = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(w, FINDER_MAGIC);
	if (w->owed)
		finder_failed(w, FAULT_TIMEOUT, NULL);
	else
		finder_ask(w);
}

struct finder *
finder_new(struct event_base *base, const struct link_conf *conf, struct faults *faults,
    const struct finder_ops *ops, void *arg)
{
	struct finder *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	MAGIC_SET(w, FINDER_MAGIC);
	w->base = base;
	w->conf = conf;
	w->faults = faults;
	w->ops = ops;
	w->arg = arg;
	w->n = conf->nservers;
	w->timer = evtimer_new(base, finder_timer_cb, w);
	if (w->timer == NULL) {
		MAGIC_CLEAR(w);
		free(w);
		return NULL;
	}
	return w;
}

void
finder_free(struct finder **wp)
{
	struct finder *w = *wp;

	if (w == NULL)
		return;
	wire_free(&w->wire);
	event_free(w->timer);
	MAGIC_CLEAR(w);
	free(w);
	*wp = NULL;
}

void
finder_find(struct finder *w)
{
	w->wanted = true;
	/* Its answer may be under way already. */
	if (!w->owed)
		finder_ask(w);
}

void
finder_go_on(struct finder *w, unsigned ms, size_t n)
{
	w->every_ms = ms;
	w->n = n;
	if (!w->owed)
		finder_set_timer(w, ms);
}

void
finder_stop(struct finder *w)
{
	w->every_ms = 0;
	w->wanted = false;
	if (w->conf->sentinel == NULL)
		wire_free(&w->wire);
	if (w->wire == NULL || !w->owed)
		finder_rest(w);
}

void
finder_next(struct finder *w)
{
	wire_free(&w->wire);
	w->at++;
	finder_rest(w);
}
