/* handing.c: a running smbgate hands all that it has over to another one, which goes on */
#include "config.h"

#include "daemon/handing.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "daemon/ctl_env.h"
#include "daemon/estate.h"
#include "daemon/listening.h"
#include "daemon/service.h"
#include "daemon/takemsg.h"
#include "daemon/takeover.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "proxy/mailbox.h"
#include "proxy/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define HANDING_MAGIC 0x48414e44u

/* The successor starts, and has its smbgate-keyd, within this. */
#define START_S 60
/* Connections go, and it says that it serves, within this. */
#define COMMIT_S 20
/* The successor has read policy.conf so long before it comes, at most. */
#define READ_MS 10000
/* So much may be on its way to the successor, and twice as much where ABORT is to go, too. */
#define ON_THE_WAY (32 * 1024)

enum stage {
	STAGE_ALONE,		/* nobody has come */
	STAGE_GREETED,		/* somebody has, and starts */
	STAGE_GIVING,		/* connections go */
	STAGE_COMMITTING,	/* all that can go have gone */
	STAGE_HANDED,		/* the other one serves; what has stayed is served here */
};

/*
 * Whom a worker reports to: one set for this takeover, and one for the next, while the worker may
 * still be at the last.
 */
struct source {
	struct handing *h;
	unsigned turn;
	size_t worker;
};

struct handing {
	MAGIC_MEMBER
	struct handing_env env;
	struct event *accept, *timer, *drain;
	int successors;			/* where they come; -1: handed over */
	enum stage stage;
	int peer;			/* the successor; -1: none */
	struct event *peer_ev;
	bool mute;			/* it was told a half, and can be told nothing more */
	uint32_t pid;
	unsigned turn;			/* of two */
	size_t npaths;
	int paths[2 * CONF_WORKERS_MAX];
	struct source *sources[2];
	struct giving_report *said;	/* by each worker, the last time */
	struct estate *estate;
	uint64_t asked;			/* of the workers, for a report that is not older */
	uint64_t greeted_ms, given_ms;
	uint64_t reloads;		/* that the successor knows of */
	bool reloaded;			/* it is to be told of one more */
	uint64_t until_ms;		/* what stays is served until then */
};

/* A worker's report on its way to the main thread. */
struct report {
	const struct source *from;
	struct giving_report said;
};

static void
after(struct event *ev, unsigned ms)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	event_add(ev, &tv);
}

static size_t
workers(const struct handing *h)
{
	return h->env.ctl->nworkers;
}

static void
peer_end(struct handing *h)
{
	if (h->peer_ev != NULL)
		event_free(h->peer_ev);
	h->peer_ev = NULL;
	if (h->peer != -1)
		close(h->peer);
	h->peer = -1;
	for (; h->npaths > 0; h->npaths--)
		close(h->paths[h->npaths - 1]);
}

static void
room_on_the_way(const struct handing *h, int bytes)
{
	setsockopt(h->peer, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/*
 * It serves on, and the other one does not. why: for the log, and for the other one, which takes an
 * end without that word for our death. So there is room for it where there is for nothing else.
 */
static void
stay(struct handing *h, const char *why)
{
	struct takemsg m = { .kind = TAKE_ABORT };
	const bool giving = handing_gives(h);

	log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_TAKEOVER),
	    "takeover by process %u: %s; this process serves on", h->pid, why);
	snprintf(m.text, sizeof(m.text), "%s", why);
	room_on_the_way(h, 2 * ON_THE_WAY);
	(void)takemsg_send(h->peer, &m, -1);
	event_del(h->timer);
	peer_end(h);
	h->stage = STAGE_ALONE;
	for (size_t i = 0; giving && i < workers(h); i++)
		worker_keep(h->env.ctl->workers[i]);
}

/* What listens, each with its name. False: nobody hears it. */
static bool
send_sockets(struct handing *h)
{
	const uint64_t until = clock_ms() + TAKE_TELL_MS;
	const struct conf *conf = h->env.conf;
	struct takemsg m = { .kind = TAKE_SOCKET, .what = TAKE_LISTENER };
	bool heard = true;

	for (size_t i = 0; heard && i < h->env.nlistening; i++) {
		const struct conf_listen *l = &conf->listen[h->env.listening[i].listener];

		memcpy(m.name, l->name, sizeof(m.name));
		m.address = l->address;
		heard = takemsg_send(h->peer, &m, h->env.listening[i].fd) && clock_ms() <= until;
	}
	m = (struct takemsg){ .kind = TAKE_SOCKET, .what = TAKE_CONTROL };
	heard = heard && takemsg_send(h->peer, &m, h->env.control);
	m.what = TAKE_SUCCESSORS;
	heard = heard && takemsg_send(h->peer, &m, h->successors);
	m.what = TAKE_HTTP;
	m.address = conf->http_address;
	if (h->env.http != -1)
		heard = heard && takemsg_send(h->peer, &m, h->env.http);
	m = (struct takemsg){ .kind = TAKE_END };
	return heard && takemsg_send(h->peer, &m, -1);
}

static void
greet(struct handing *h, const struct takemsg *hello)
{
	struct takemsg m = { .kind = TAKE_HELLO, .protocol = TAKE_PROTOCOL,
		.workers = (uint16_t)workers(h), .pid = (uint32_t)getpid(),
		.number = workers_connections(h->env.ctl->workers, workers(h)),
		.text = PACKAGE_VERSION };

	h->pid = hello->pid;
	service_describe(m.notify, &m.watched);
	if (hello->protocol != TAKE_PROTOCOL) {
		m.kind = TAKE_REFUSE;
		snprintf(m.text, sizeof(m.text),
		    "smbgate %s here hands over by protocol %d, not %u", PACKAGE_VERSION,
		    TAKE_PROTOCOL, hello->protocol);
		(void)takemsg_send(h->peer, &m, -1);
		stay(h, m.text);
		return;
	}
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_TAKEOVER),
	    "takeover: process %u, smbgate %s, is to go on", hello->pid, hello->text);
	h->stage = STAGE_GREETED;
	h->greeted_ms = clock_ms();
	after(h->timer, START_S * 1000);
	if (!takemsg_send(h->peer, &m, -1) || !send_sockets(h))
		stay(h, "it is gone, or too slow");
}

static void report_cb(void *arg, const struct giving_report *r);

static void
give(struct handing *h)
{
	const size_t n = workers(h);
	int fds[2 * CONF_WORKERS_MAX];

	if (h->npaths < n) {
		stay(h, "it gives no way for each worker");
		return;
	}
	h->stage = STAGE_GIVING;
	h->given_ms = clock_ms();
	h->turn ^= 1;
	h->asked = 0;
	after(h->timer, COMMIT_S * 1000);
	memset(h->said, 0, n * sizeof(h->said[0]));
	for (size_t w = 0; w < n; w++) {
		size_t k = 0;

		for (size_t i = w; i < h->npaths; i += n)
			fds[k++] = h->paths[i];
		worker_give(h->env.ctl->workers[w], fds, k, report_cb, &h->sources[h->turn][w]);
	}
	h->npaths = 0;
}

/* No report is still on its way that is older than the last question. */
static bool
all_said(const struct handing *h)
{
	for (size_t i = 0; i < workers(h); i++)
		if (h->said[i].asked != h->asked)
			return false;
	return true;
}

static size_t
left_here(const struct handing *h, const char **why)
{
	size_t n = 0;

	*why = "";
	for (size_t i = 0; i < workers(h); i++) {
		n += h->said[i].left;
		if (h->said[i].left > 0)
			*why = h->said[i].why;
	}
	return n;
}

/*
 * It reads what it is told: else it would be waited for. What is not said now is said with the next
 * report.
 */
static bool
listens(const struct handing *h)
{
	struct pollfd p = { .fd = h->peer, .events = POLLOUT };

	return h->peer != -1 && !h->mute && poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

/*
 * What is here, and with whoever was here before: its connections come here, from where they go on,
 * and it is told of orders. Whoever does not read that is not left for it: an end would say that
 * this process has ended.
 */
static void
say_stays(struct handing *h)
{
	struct takemsg m = { .kind = TAKE_STAYS, .reloaded = h->reloaded };
	struct takeover_rest before = { .connections = 0 };
	const bool waits = takeover_rest(h->env.ctl->takeover, &before);
	const uint64_t now = clock_ms();
	const char *why;
	bool last;

	m.number = left_here(h, &why);
	if (m.number == 0 && waits)
		why = before.why;
	m.number += before.connections;
	m.seconds = h->until_ms > now ? (uint32_t)((h->until_ms - now) / 1000) : 0;
	snprintf(m.text, sizeof(m.text), "%s", why);
	last = m.number == 0 && !waits && all_said(h);
	/* What was counted since is worth a wait then. */
	if (listens(h) || (last && h->peer != -1 && !h->mute)) {
		h->mute = !estate_send(h->estate, h->peer, false) ||
		    !takemsg_send(h->peer, &m, -1);
		h->reloaded &= h->mute;
	}
	if (!last)
		return;
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_STOP),
	    "stopping: process %u has taken over, and no client is left here", h->pid);
	h->env.left(h->env.arg);
}

/* The policy here may be newer than what the successor has read. */
static bool
reloaded(const struct handing *h)
{
	const struct ctl_status *st = h->env.ctl->status;

	return st->reloads > 0 && st->policy_since_ms + READ_MS >= h->greeted_ms;
}

/* All that can go have gone. */
static void
commit(struct handing *h)
{
	struct takemsg m = { .kind = TAKE_COMMIT, .reloaded = reloaded(h) };

	h->stage = STAGE_COMMITTING;
	h->reloads = h->env.ctl->status->reloads;
	after(h->timer, COMMIT_S * 1000);
	for (size_t i = 0; i < workers(h); i++)
		if (h->env.ctl->workers[i]->env.next_id > m.number)
			m.number = h->env.ctl->workers[i]->env.next_id;
	if (!estate_send(h->estate, h->peer, true) || !takemsg_send(h->peer, &m, -1))
		stay(h, "it is gone, or too slow");
}

static void
reported(struct handing *h)
{
	bool passed = true, broken = false;

	for (size_t i = 0; i < workers(h); i++) {
		passed &= h->said[i].passed;
		broken |= h->said[i].broken;
	}
	if (h->stage == STAGE_HANDED)
		say_stays(h);
	else if (h->stage == STAGE_GIVING && broken)
		stay(h, "it takes no connections");
	else if (h->stage == STAGE_GIVING && passed)
		commit(h);
}

static void
report_call(void *arg)
{
	struct report *r = arg;
	struct handing *h = r->from->h;

	MAGIC_CHECK(h, HANDING_MAGIC);
	if (r->from->turn == h->turn && h->stage >= STAGE_GIVING) {
		h->said[r->from->worker] = r->said;
		reported(h);
	}
	free(r);
}

/* On a worker's loop. */
static void
report_cb(void *arg, const struct giving_report *said)
{
	const struct source *s = arg;
	struct report *r = malloc(sizeof(*r));

	if (r != NULL) {
		*r = (struct report){ .from = s, .said = *said };
		if (mailbox_post(s->h->env.ctl->mailbox, report_call, r) == 0)
			return;
	}
	free(r);
	log_error("out of memory: a worker's report is lost");
}

/* The other one serves. */
static void
handed(struct handing *h)
{
	const unsigned drain_ms = h->env.ctl->status->policy->handover_drain;
	const char *why;
	size_t n = left_here(h, &why);

	h->stage = STAGE_HANDED;
	/* Between its being told all and its word; whatever comes now, it is who says so. */
	h->reloaded = h->env.ctl->status->reloads != h->reloads;
	h->until_ms = clock_ms() + drain_ms;
	event_del(h->timer);
	event_free(h->accept);
	h->accept = NULL;
	close(h->successors);
	h->successors = -1;
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_TAKEOVER),
	    "takeover: process %u serves, after %" PRIu64 " ms of giving; %zu connection%s here "
	    "for now%s%s", h->pid, clock_ms() - h->given_ms, n, n == 1 ? " stays" : "s stay",
	    n == 0 ? "" : ": ", n == 0 ? "" : why);
	for (size_t i = 0; i < workers(h); i++)
		worker_unlisten(h->env.ctl->workers[i]);
	service_handed(h->pid);
	after(h->drain, drain_ms);
	h->env.handed(h->env.arg);
	say_stays(h);
}

/* False: there is no peer any more. */
static bool
heard(struct handing *h, const struct takemsg *m, int fd)
{
	if (m->kind == TAKE_PATH && fd != -1 && h->stage == STAGE_GREETED &&
	    h->npaths < sizeof(h->paths) / sizeof(h->paths[0])) {
		h->paths[h->npaths++] = fd;
		return true;
	}
	if (fd != -1)
		close(fd);
	if (h->stage == STAGE_HANDED) {
		if (m->kind == TAKE_ORDER && m->number <= sizeof(m->piece))
			h->env.order(h->env.arg, (const char *)m->piece, m->number);
		return true;
	}
	if (m->kind == TAKE_HELLO && h->stage == STAGE_ALONE)
		greet(h, m);
	else if (m->kind == TAKE_READY && h->stage == STAGE_GREETED)
		give(h);
	else if (m->kind == TAKE_COMMITTED && h->stage == STAGE_COMMITTING)
		handed(h);
	else if (m->kind == TAKE_ABORT && h->stage < STAGE_COMMITTING)
		stay(h, m->text);
	else
		stay(h, "it says what makes no sense now");
	return h->peer != -1;
}

static void
peer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct handing *h = arg;
	struct takemsg m;
	int with, r;

	(void)what;
	MAGIC_CHECK(h, HANDING_MAGIC);
	do {
		r = takemsg_recv(fd, &m, &with, MSG_DONTWAIT);
		if (r == -1 && errno == EAGAIN)
			return;
		if (r != 1) {
			if (h->stage == STAGE_HANDED)
				peer_end(h);
			else
				stay(h, "it is gone");
			return;
		}
	} while (heard(h, &m, with));
}

/* What it has said by now is that it serves. */
static bool
serves(struct handing *h)
{
	struct takemsg m;
	int with;

	return h->stage == STAGE_COMMITTING &&
	    takemsg_recv(h->peer, &m, &with, MSG_DONTWAIT) == 1 && heard(h, &m, with);
}

static void
call_off(struct handing *h, const char *why)
{
	if (h->peer == -1 || h->stage == STAGE_HANDED || serves(h) || h->peer == -1)
		return;
	/*
	 * Nothing that it says from now on is heard. It may have said it in this moment: then that
	 * was the last of it, and no order comes here.
	 */
	if (shutdown(h->peer, SHUT_RD) == 0 && serves(h))
		event_del(h->peer_ev);
	else if (h->peer != -1)
		stay(h, why);
}

static void
overdue_cb(evutil_socket_t fd, short what, void *arg)
{
	struct handing *h = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HANDING_MAGIC);
	call_off(h, "it says nothing");
}

void
handing_stop(struct handing *h)
{
	if (h != NULL)
		call_off(h, "smbgate is stopping");
}

bool
handing_gives(const struct handing *h)
{
	return h != NULL && (h->stage == STAGE_GIVING || h->stage == STAGE_COMMITTING);
}

bool
handing_told(const struct handing *h)
{
	return h != NULL && h->stage == STAGE_COMMITTING;
}

void
handing_gone(struct handing *h)
{
	if (h == NULL || h->stage < STAGE_GIVING)
		return;
	/* It is gone because somebody has just come from there. */
	h->asked++;
	for (size_t i = 0; i < workers(h); i++)
		worker_say(h->env.ctl->workers[i], h->asked);
}

static void
drained_cb(evutil_socket_t fd, short what, void *arg)
{
	struct handing *h = arg;
	const char *why;

	(void)fd;
	(void)what;
	MAGIC_CHECK(h, HANDING_MAGIC);
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_STOP),
	    "stopping: handover-drain is over; %zu connections that stayed here end",
	    left_here(h, &why));
	h->env.left(h->env.arg);
}

static void
refuse(int fd, const char *why)
{
	struct takemsg m = { .kind = TAKE_REFUSE };

	snprintf(m.text, sizeof(m.text), "%s", why);
	(void)takemsg_send(fd, &m, -1);
	close(fd);
}

static void
successor_cb(evutil_socket_t lfd, short what, void *arg)
{
	/* The main thread waits for it, and is not to do so for long. */
	const struct timeval patience = { 5, 0 };
	struct handing *h = arg;
	int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);

	(void)what;
	MAGIC_CHECK(h, HANDING_MAGIC);
	if (fd == -1)
		return;
	if (!takemsg_trusts(fd)) {
		log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_TAKEOVER),
		    "takeover: refused to a process of another user");
		refuse(fd, "you are neither root nor who smbgate runs as");
		return;
	}
	if (h->peer != -1 || h->env.leaving(h->env.arg)) {
		refuse(fd, h->peer != -1 ? "another takeover is under way" : "smbgate is stopping");
		return;
	}
	h->peer = fd;
	h->pid = 0;
	room_on_the_way(h, ON_THE_WAY);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	h->peer_ev = event_new(h->env.ctl->base, fd, EV_READ | EV_PERSIST, peer_cb, h);
	after(h->timer, COMMIT_S * 1000);
	if (h->peer_ev == NULL || event_add(h->peer_ev, NULL) == -1)
		stay(h, "out of memory");
}

static bool
make_sources(struct handing *h)
{
	const size_t n = workers(h);

	h->said = calloc(n, sizeof(h->said[0]));
	for (unsigned t = 0; t < 2; t++) {
		h->sources[t] = calloc(n, sizeof(h->sources[t][0]));
		for (size_t i = 0; h->sources[t] != NULL && i < n; i++)
			h->sources[t][i] = (struct source){ h, t, i };
	}
	return h->said != NULL && h->sources[0] != NULL && h->sources[1] != NULL;
}

struct handing *
handing_new(const struct handing_env *env, int fd)
{
	struct handing *h = calloc(1, sizeof(*h));
	struct event_base *base = env->ctl->base;

	if (h == NULL) {
		close(fd);
		return NULL;
	}
	MAGIC_SET(h, HANDING_MAGIC);
	h->env = *env;
	h->successors = fd;
	h->peer = -1;
	h->accept = event_new(base, fd, EV_READ | EV_PERSIST, successor_cb, h);
	h->timer = evtimer_new(base, overdue_cb, h);
	h->drain = evtimer_new(base, drained_cb, h);
	h->estate = estate_new(env->ctl);
	if (!make_sources(h) || h->estate == NULL || h->accept == NULL || h->timer == NULL ||
	    h->drain == NULL || event_add(h->accept, NULL) == -1)
		handing_free(&h);
	return h;
}

void
handing_free(struct handing **hp)
{
	struct handing *h = *hp;

	if (h == NULL)
		return;
	peer_end(h);
	if (h->successors != -1)
		close(h->successors);
	if (h->accept != NULL)
		event_free(h->accept);
	if (h->timer != NULL)
		event_free(h->timer);
	if (h->drain != NULL)
		event_free(h->drain);
	estate_free(&h->estate);
	free(h->sources[0]);
	free(h->sources[1]);
	free(h->said);
	MAGIC_CLEAR(h);
	free(h);
	*hp = NULL;
}
