/* giving.c: a worker's connections go to the smbgate that goes on, one by one */
#include "config.h"

#include "proxy/giving.h"

#include "base/fdpass.h"
#include "base/magic.h"
#include "base/tlv.h"
#include "proxy/conn.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/moving.h"
#include "proxy/taking.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define GIVING_MAGIC 0x91f15a1eu

/* On their way over one socket at a time: each of them stands still until it is answered. */
#define WINDOW 16
/* Looked at in one go, before other connections have their turn. */
#define STEP 1024
/* Such a one has not been answered for so long: the other process hangs. */
#define ANSWER_MS 10000
/* Those that stay are offered again after this, ... */
#define AGAIN_MS 5
/* ... and once that has been done so often, after this. */
#define AGAIN_SOON 200
#define AGAIN_LATER_MS 500

struct path {
	struct giving *giving;
	int fd;				/* -1: it leads nowhere any more */
	struct event *ev;
	struct conn_list frozen;	/* sent, and not answered, in this order */
	unsigned nfrozen;
	uint64_t answered;		/* so many were */
};

struct giving {
	MAGIC_MEMBER
	struct conn_env *env;
	giving_f report;
	void *arg;
	struct event *timer;		/* the next round, or an answer is overdue */
	unsigned rounds;
	struct conn_cursor at;		/* the next one of this round */
	size_t budget;			/* so many more are offered in this round */
	bool passed, broken;
	uint64_t asked;
	char why[GIVING_WHY];
	size_t npaths;
	struct path paths[];
};

static void
timer_in(struct giving *g, unsigned ms)
{
	const struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };

	event_add(g->timer, &tv);
}

static unsigned
on_their_way(const struct giving *g)
{
	unsigned n = 0;

	for (size_t i = 0; i < g->npaths; i++)
		n += g->paths[i].nfrozen;
	return n;
}

static void
say(struct giving *g)
{
	struct giving_report r = { .passed = g->passed, .broken = g->broken,
		.asked = g->asked };

	r.left = g->env->nconns + on_their_way(g);
	memcpy(r.why, g->why, sizeof(r.why));
	g->report(g->arg, &r);
}

void
giving_say(struct giving *g, uint64_t asked)
{
	MAGIC_CHECK(g, GIVING_MAGIC);
	g->asked = asked;
	say(g);
}

/* The first one is no longer on its way. */
static struct conn *
path_shift(struct path *p)
{
	struct conn *c = TAILQ_FIRST(&p->frozen);

	TAILQ_REMOVE(&p->frozen, c, entry);
	p->nfrozen--;
	return c;
}

/* One answer; false: it is none. */
static bool
answered(struct path *p, const uint8_t *msg, size_t n)
{
	struct taking_answer a;

	if (p->nfrozen == 0 || !taking_answer_get(&a, msg, n) || a.serial != p->answered + 1)
		return false;
	p->answered++;
	if (a.why[0] == '\0') {
		moving_depart(path_shift(p));
	} else {
		snprintf(p->giving->why, sizeof(p->giving->why), "%s", a.why);
		moving_thaw(path_shift(p));
	}
	return true;
}

/* All answers that there are; false: no more will come. */
static bool
read_answers(struct path *p)
{
	uint8_t msg[TAKING_ANSWER_MAX];
	ssize_t n;

	while ((n = recv(p->fd, msg, sizeof(msg), MSG_DONTWAIT)) > 0)
		if (!answered(p, msg, (size_t)n))
			return false;
	return n == -1 && (errno == EAGAIN || errno == EINTR);
}

/*
 * Nobody can answer any more once that is said; what was answered before is another process's, and
 * the rest is ours.
 */
static void
path_end(struct path *p)
{
	if (p->fd == -1)
		return;
	if (p->ev != NULL)
		event_free(p->ev);
	p->ev = NULL;
	if (shutdown(p->fd, SHUT_RD) == 0)
		(void)read_answers(p);
	while (p->nfrozen > 0)
		moving_thaw(path_shift(p));
	close(p->fd);
	p->fd = -1;
}

static void
give_up(struct giving *g)
{
	for (size_t i = 0; i < g->npaths; i++)
		path_end(&g->paths[i]);
	g->broken = true;
	timer_in(g, AGAIN_LATER_MS);
	say(g);
}

/* A path with room for one more; NULL: all are full. */
static struct path *
path_free(struct giving *g)
{
	struct path *best = NULL;

	for (size_t i = 0; i < g->npaths; i++)
		if (best == NULL || g->paths[i].nfrozen < best->nfrozen)
			best = &g->paths[i];
	return best != NULL && best->nfrozen < WINDOW ? best : NULL;
}

/* 0: it is on its way. -1: it is not, and goes on here; errno says why. */
static int
offer(struct path *p, struct conn *c)
{
	const uint64_t serial = p->answered + p->nfrozen + 1;
	struct tlv_out o = { .len = 0 };
	int fds[2], r = -1, err = EMSGSIZE;

	moving_freeze(c);
	taking_offer_begin(&o, serial);
	moving_put(c, &o, &fds[0], &fds[1]);
	if (o.bad)
		err = ENOMEM;
	else if (o.len <= TAKING_OFFER_MAX) {
		r = fdpass_send2(p->fd, o.data, o.len, fds, MSG_DONTWAIT);
		err = errno;
	}
	tlv_out_fini(&o);
	if (r == 0) {
		TAILQ_INSERT_TAIL(&p->frozen, c, entry);
		p->nfrozen++;
	} else {
		moving_thaw(c);
	}
	errno = err;
	return r;
}

static void
round_begin(struct giving *g)
{
	g->budget = g->env->nconns;
	g->at.next = TAILQ_FIRST(&g->env->conns);
}

/* Every connection was offered that could go. */
static void
offered_all(struct giving *g)
{
	const bool first = !g->passed;

	g->passed = true;
	g->rounds++;
	round_begin(g);
	if (first || g->rounds > AGAIN_SOON || g->rounds % 10 == 0 || g->env->nconns == 0)
		say(g);
	timer_in(g, g->rounds > AGAIN_SOON || g->env->nconns == 0 ? AGAIN_LATER_MS : AGAIN_MS);
}

/* False: no more are offered for now. */
static bool
offer_next(struct giving *g)
{
	struct conn *c = g->at.next;
	const char *why = moving_stays(c);
	struct path *p;

	if (why != NULL) {
		snprintf(g->why, sizeof(g->why), "%s", why);
		g->at.next = conn_next(c);
		return true;
	}
	p = path_free(g);
	if (p == NULL)
		return false;
	g->budget--;
	g->at.next = conn_next(c);
	if (offer(p, c) == 0 || errno == EMSGSIZE)
		return true;
	/* It is the last one now. */
	if (g->at.next == NULL && c->stage != CONN_DEAD)
		g->at.next = c;
	if (errno == EPIPE || errno == ECONNRESET)
		give_up(g);
	return false;
}

/*
 * Offers what can go and there is room for. Each round goes through the connections once: those
 * that stay, strangers say, may be as many as those that go.
 */
static void
giving_go_on(struct giving *g)
{
	int n = 0;

	while (g->at.next != NULL && g->budget > 0 && n < STEP && offer_next(g))
		n++;
	if (g->broken)
		return;
	if (on_their_way(g) > 0)
		timer_in(g, ANSWER_MS);
	else if (g->at.next == NULL || g->budget == 0)
		offered_all(g);
	else
		timer_in(g, n == STEP ? 0 : AGAIN_MS);
}

static void
path_cb(evutil_socket_t fd, short what, void *arg)
{
	struct path *p = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(p->giving, GIVING_MAGIC);
	if (read_answers(p))
		giving_go_on(p->giving);
	else
		give_up(p->giving);
}

static void
giving_timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct giving *g = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(g, GIVING_MAGIC);
	if (g->broken) {
		timer_in(g, AGAIN_LATER_MS);
		say(g);
	} else if (on_their_way(g) > 0)
		give_up(g);
	else
		giving_go_on(g);
}

/* -1: out of memory; the socket is the path's in any case. */
static int
path_begin(struct giving *g, struct path *p, int fd)
{
	const int room = 4 * TAKING_OFFER_MAX;

	p->giving = g;
	p->fd = fd;
	TAILQ_INIT(&p->frozen);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	p->ev = event_new(g->env->base, fd, EV_READ | EV_PERSIST, path_cb, p);
	return p->ev == NULL || event_add(p->ev, NULL) == -1 ? -1 : 0;
}

struct giving *
giving_new(struct conn_env *env, const int *fds, size_t n, giving_f report, void *arg)
{
	struct giving *g = calloc(1, sizeof(*g) + n * sizeof(g->paths[0]));
	bool good = g != NULL;

	if (g == NULL) {
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
		return NULL;
	}
	MAGIC_SET(g, GIVING_MAGIC);
	g->env = env;
	g->report = report;
	g->arg = arg;
	LIST_INSERT_HEAD(&env->cursors, &g->at, entry);
	round_begin(g);
	g->timer = evtimer_new(env->base, giving_timer_cb, g);
	good = g->timer != NULL;
	for (; g->npaths < n; g->npaths++)
		good &= path_begin(g, &g->paths[g->npaths], fds[g->npaths]) == 0;
	if (good)
		timer_in(g, 0);
	else
		giving_free(&g);
	return g;
}

void
giving_free(struct giving **gp)
{
	struct giving *g = *gp;

	if (g == NULL)
		return;
	for (size_t i = 0; i < g->npaths; i++)
		path_end(&g->paths[i]);
	LIST_REMOVE(&g->at, entry);
	if (g->timer != NULL)
		event_free(g->timer);
	MAGIC_CLEAR(g);
	free(g);
	*gp = NULL;
}
