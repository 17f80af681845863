/* takeover.c: smbgate --takeover: goes on with all that a running smbgate has */
#include "config.h"

#include "daemon/takeover.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "daemon/ctl_env.h"
#include "daemon/estate.h"
#include "daemon/service.h"
#include "nodes/inherit.h"
#include "policy/conf.h"
#include "proxy/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#define TAKEOVER_MAGIC 0x54414b45u

/* The other one answers at once, even where it stands still for a moment. */
#define ANSWER_S 20
/* With an order, whoever serves waits for it once, and then no more until it reads. */
#define ORDER_S 1
/* Listeners are few, and so are workers. */
#define SOCKETS_MAX (CONF_LISTEN_MAX * CONF_WORKERS_MAX + 3)

struct offered {
	uint8_t what;
	char name[64];
	struct addrport address;
	int fd;			/* -1: taken */
};

struct takeover {
	MAGIC_MEMBER
	int fd;			/* -1: the other one has ended */
	struct event *ev;
	uint32_t pid;
	unsigned workers;	/* of the other one */
	size_t noffered;
	struct offered *offered;
	size_t npaths;
	int (*paths)[2];	/* ours, and the other one's end; -1: given away */
	struct takeover_env env;
	struct estate *estate;
	bool done;
	bool deaf;		/* it does not read what it is told */
	struct takeover_rest rest;
};

static int
connect_to(const char *path)
{
	const struct timeval patience = { ANSWER_S, 0 };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = -1;

	if (snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path) >= (int)sizeof(sun.sun_path))
		errno = ENAMETOOLONG;
	else
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd != -1 && connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == -1) {
		const int err = errno;

		close(fd);
		errno = err;
		fd = -1;
	}
	if (fd == -1) {
		log_error("takeover: %s: %s%s", path, strerror(errno),
		    errno == ENOENT || errno == ECONNREFUSED ? ": no smbgate runs there"
		    : errno == EACCES ? ": it is for root, and for who smbgate runs as" : "");
		return -1;
	}
	/* It is told our pid, and is to be listened to: whoever could make that name, might lie. */
	if (!takemsg_trusts(fd)) {
		log_error("takeover: %s: neither root nor who smbgate runs as listens there", path);
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

/* Takes over fd. -1: memory is out, or there are too many. */
static int
keep(struct takeover *t, const struct takemsg *m, int fd)
{
	struct offered *more = t->noffered >= SOCKETS_MAX || fd == -1 ? NULL :
	    reallocarray(t->offered, t->noffered + 1, sizeof(*more));

	if (more == NULL) {
		if (fd != -1)
			close(fd);
		return -1;
	}
	t->offered = more;
	more[t->noffered] = (struct offered){ .what = m->what, .address = m->address, .fd = fd };
	memcpy(more[t->noffered++].name, m->name, sizeof(m->name));
	return 0;
}

/* Its clients come here: there is to be room for them. */
static bool
has_room(uint64_t connections, unsigned places)
{
	if (connections <= places)
		return true;
	log_error("takeover: the running smbgate has %" PRIu64 " connections, and there are "
	          "descriptors for %u here: raise LimitNOFILE (systemd) or ulimit -n", connections,
	    places);
	return false;
}

/*
 * Who refuses may close before it has read what was said to it. Then the kernel says that first,
 * and the refusal after it.
 */
static int
hear(const struct takeover *t, struct takemsg *m, int *fd)
{
	int r = takemsg_recv(t->fd, m, fd, 0);

	return r == -1 && errno == ECONNRESET ? takemsg_recv(t->fd, m, fd, 0) : r;
}

/* What it has, one by one. -1: the reason is logged. */
static int
ask(struct takeover *t, unsigned places)
{
	struct takemsg m = { .kind = TAKE_HELLO, .protocol = TAKE_PROTOCOL,
		.pid = (uint32_t)getpid(), .text = PACKAGE_VERSION };
	int fd, r;

	if (!takemsg_send(t->fd, &m, -1) && errno != EPIPE) {
		log_error("takeover: the running smbgate does not listen: %s", strerror(errno));
		return -1;
	}
	while ((r = hear(t, &m, &fd)) == 1 && m.kind != TAKE_END) {
		if (m.kind == TAKE_SOCKET && t->workers > 0) {
			if (keep(t, &m, fd) == -1) {
				log_error("takeover: out of memory or descriptors");
				return -1;
			}
			continue;
		}
		if (fd != -1)
			close(fd);
		if (m.kind != TAKE_HELLO || m.protocol != TAKE_PROTOCOL || m.workers == 0 ||
		    m.workers > CONF_WORKERS_MAX) {
			log_error("takeover: the running smbgate refuses: %s",
			    m.text[0] != '\0' ? m.text : "it knows another protocol");
			return -1;
		}
		if (!has_room(m.number, places))
			return -1;
		service_inherit(m.notify, m.watched);
		t->workers = m.workers;
		t->pid = m.pid;
		log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_TAKEOVER),
		    "takeover from process %u, smbgate %s", m.pid, m.text);
	}
	if (r == 1)
		return 0;
	log_error("takeover: the running smbgate says nothing: %s",
	    r == 0 ? "it has ended" : strerror(errno));
	return -1;
}

/*
 * As many as either side has workers, of whom each has one at least. Made here, since a confined
 * process makes none.
 */
static int
make_paths(struct takeover *t, unsigned nworkers)
{
	const size_t n = nworkers > t->workers ? nworkers : t->workers;

	t->paths = calloc(n, sizeof(t->paths[0]));
	for (; t->paths != NULL && t->npaths < n; t->npaths++)
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
		        t->paths[t->npaths]) == -1)
			break;
	if (t->npaths == n)
		return 0;
	log_error("takeover: %s", strerror(errno));
	return -1;
}

struct takeover *
takeover_begin(const char *path, unsigned nworkers, unsigned places)
{
	struct takeover *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	MAGIC_SET(t, TAKEOVER_MAGIC);
	t->fd = connect_to(path);
	if (t->fd == -1 || ask(t, places) == -1 || make_paths(t, nworkers) == -1)
		takeover_free(&t);
	return t;
}

int
takeover_socket(struct takeover *t, enum take_what what, const char *name,
    const struct addrport *address)
{
	for (size_t i = 0; i < t->noffered; i++) {
		struct offered *o = &t->offered[i];
		const int fd = o->fd;

		if (fd == -1 || o->what != what || (name != NULL && strcmp(o->name, name) != 0) ||
		    (address != NULL && (o->address.port != address->port ||
		        !addr_equal(&o->address.addr, &address->addr))))
			continue;
		o->fd = -1;
		return fd;
	}
	return -1;
}

/* What nobody has taken: listeners that are not ours any more. */
static void
close_rest(struct takeover *t)
{
	for (size_t i = 0; i < t->noffered; i++)
		if (t->offered[i].fd != -1)
			close(t->offered[i].fd);
	free(t->offered);
	t->offered = NULL;
	t->noffered = 0;
}

/* Connections that come by themselves have greater numbers than those that were taken over. */
static void
number_on(struct takeover *t, uint64_t newest)
{
	for (size_t i = 0; i < t->env.ctl->nworkers; i++)
		worker_number(t->env.ctl->workers[i], newest);
}

/*
 * The same without its word: what it has given may be on its way yet, and have greater numbers than
 * what has come, but not by so much.
 */
static void
number_beyond(struct takeover *t)
{
	uint64_t newest = 0, taken;

	for (size_t i = 0; i < t->env.ctl->nworkers; i++) {
		taken = atomic_load(&t->env.ctl->workers[i]->env.taken_id);
		if (taken > newest)
			newest = taken;
	}
	number_on(t, newest + UINT32_MAX);
}

static void
old_gone(struct takeover *t)
{
	if (t->ev != NULL)
		event_free(t->ev);
	t->ev = NULL;
	close(t->fd);
	t->fd = -1;
	if (!t->done) {
		/* It has not said that it goes on: it has died, and there is nobody else. */
		log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_TAKEOVER),
		    "takeover: process %u has died; what it has not handed over is lost", t->pid);
		number_beyond(t);
		t->done = true;
		t->env.done(t->env.arg, true, false);
	}
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_TAKEOVER),
	    "takeover: process %u has ended", t->pid);
	estate_free(&t->estate);
	nodes_nobody_before(t->env.ctl->nodes);
	t->env.gone(t->env.arg);
}

static void
committed(struct takeover *t, uint64_t newest, bool reloaded)
{
	struct takemsg m = { .kind = TAKE_COMMITTED };

	/* Who does not hear it has died, or has said ABORT, which is to be read then. */
	if (!takemsg_send(t->fd, &m, -1))
		return;
	number_on(t, newest);
	t->done = true;
	t->env.done(t->env.arg, true, reloaded);
}

static void
serves_on(struct takeover *t, const char *why)
{
	log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_TAKEOVER),
	    "takeover: process %u serves on: %s", t->pid, why);
	t->done = true;
	t->env.done(t->env.arg, false, false);
}

/* False: nothing more is to be heard. */
static bool
old_says(struct takeover *t, const struct takemsg *m)
{
	switch (m->kind) {
	case TAKE_STATE:
		estate_heard(t->estate, m);
		break;
	case TAKE_COMMIT:
		if (!t->done)
			committed(t, m->number, m->reloaded);
		break;
	case TAKE_STAYS:
		t->rest = (struct takeover_rest){ .pid = t->pid, .connections = m->number,
			.until_ms = clock_ms() + 1000 * (uint64_t)m->seconds };
		memcpy(t->rest.why, m->text, sizeof(t->rest.why));
		if (m->reloaded && t->done)
			t->env.reloaded(t->env.arg);
		break;
	case TAKE_ABORT:
		if (t->done)
			break;
		serves_on(t, m->text);
		return false;
	default:
		break;
	}
	return true;
}

static void
old_cb(evutil_socket_t fd, short what, void *arg)
{
	struct takeover *t = arg;
	struct takemsg m;
	int with, r;

	(void)what;
	MAGIC_CHECK(t, TAKEOVER_MAGIC);
	while ((r = takemsg_recv(fd, &m, &with, MSG_DONTWAIT)) == 1) {
		if (with != -1)
			close(with);
		if (!old_says(t, &m))
			return;
	}
	if (r == -1 && errno == EAGAIN)
		return;
	/* Who says what cannot be read has not died. */
	if (r == -1 && errno != ECONNRESET && !t->done)
		serves_on(t, "it says what makes no sense");
	else
		old_gone(t);
}

int
takeover_go(struct takeover *t, const struct takeover_env *env)
{
	struct takemsg m = { .kind = TAKE_PATH };
	bool heard = true;

	close_rest(t);
	t->env = *env;
	t->estate = estate_new(env->ctl);
	t->ev = event_new(env->ctl->base, t->fd, EV_READ | EV_PERSIST, old_cb, t);
	if (t->estate == NULL || t->ev == NULL || event_add(t->ev, NULL) == -1)
		return -1;
	for (size_t i = 0; i < t->npaths; i++) {
		worker_take(env->ctl->workers[i % env->ctl->nworkers], t->paths[i][0]);
		heard = heard && takemsg_send(t->fd, &m, t->paths[i][1]);
		close(t->paths[i][1]);
		t->paths[i][0] = t->paths[i][1] = -1;
	}
	m.kind = TAKE_READY;
	if (!heard || !takemsg_send(t->fd, &m, -1))
		log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_TAKEOVER),
		    "takeover: process %u does not listen any more", t->pid);
	return 0;
}

bool
takeover_rest(const struct takeover *t, struct takeover_rest *rest)
{
	if (t == NULL || t->fd == -1)
		return false;
	*rest = t->rest;
	return true;
}

/* As long as it is deaf, it is found to read again by what it has read. */
static bool
order_sent(struct takeover *t, const struct takemsg *m)
{
	const struct timeval patience = { ORDER_S, 0 };
	struct pollfd p = { .fd = t->fd, .events = POLLOUT };

	if (t->deaf && (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0))
		return false;
	setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	t->deaf = !takemsg_send(t->fd, m, -1);
	return !t->deaf;
}

bool
takeover_order(struct takeover *t, const char *request, size_t n)
{
	struct takemsg m = { .kind = TAKE_ORDER, .number = n };

	if (t == NULL || t->fd == -1 || !t->done)
		return false;
	if (n <= sizeof(m.piece)) {
		memcpy(m.piece, request, n);
		if (order_sent(t, &m))
			return true;
	}
	log_about(LOG_LEVEL_WARN, log_of(LOG_EVENT_TAKEOVER),
	    "takeover: process %u cannot be told of an order", t->pid);
	return false;
}

void
takeover_free(struct takeover **tp)
{
	struct takeover *t = *tp;

	if (t == NULL)
		return;
	close_rest(t);
	for (size_t i = 0; i < t->npaths; i++)
		for (int k = 0; k < 2; k++)
			if (t->paths[i][k] != -1)
				close(t->paths[i][k]);
	free(t->paths);
	if (t->ev != NULL)
		event_free(t->ev);
	if (t->fd != -1)
		close(t->fd);
	estate_free(&t->estate);
	MAGIC_CLEAR(t);
	free(t);
	*tp = NULL;
}
