/* takeover.c: smbgate --takeover: goes on with all that a running smbgate has */
#include "config.h"

#include "daemon/takeover.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "daemon/ctl_env.h"
#include "daemon/estate.h"
#include "daemon/service.h"
#include "policy/conf.h"
#include "proxy/worker.h"

#include <errno.h>
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

/* What it has, one by one. -1: the reason is logged. */
static int
ask(struct takeover *t)
{
	struct takemsg m = { .kind = TAKE_HELLO, .protocol = TAKE_PROTOCOL,
		.pid = (uint32_t)getpid(), .text = PACKAGE_VERSION };
	int fd, r;

	if (!takemsg_send(t->fd, &m, -1)) {
		log_error("takeover: the running smbgate does not listen: %s", strerror(errno));
		return -1;
	}
	while ((r = takemsg_recv(t->fd, &m, &fd, 0)) == 1 && m.kind != TAKE_END) {
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
takeover_begin(const char *path, unsigned nworkers)
{
	struct takeover *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	MAGIC_SET(t, TAKEOVER_MAGIC);
	t->fd = connect_to(path);
	if (t->fd == -1 || ask(t) == -1 || make_paths(t, nworkers) == -1)
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
		t->done = true;
		t->env.done(t->env.arg, true);
	}
	log_about(LOG_LEVEL_INFO, log_of(LOG_EVENT_TAKEOVER),
	    "takeover: process %u has ended", t->pid);
	estate_free(&t->estate);
	t->env.gone(t->env.arg);
}

/* Connections that came by themselves have greater numbers than those that were taken over. */
static void
committed(struct takeover *t, uint64_t newest)
{
	struct takemsg m = { .kind = TAKE_COMMITTED };

	/* Who does not hear it has died, or has said ABORT, which is to be read then. */
	if (!takemsg_send(t->fd, &m, -1))
		return;
	for (size_t i = 0; i < t->env.ctl->nworkers; i++)
		worker_number(t->env.ctl->workers[i], newest);
	t->done = true;
	t->env.done(t->env.arg, true);
}

/* False: nothing more is to be heard. */
static bool
old_says(struct takeover *t, const struct takemsg *m)
{
	switch (m->kind) {
	case TAKE_CLAIM:
		if (!t->done)
			t->env.claim(t->env.arg, m);
		break;
	case TAKE_STATE:
		estate_heard(t->estate, m);
		break;
	case TAKE_COMMIT:
		if (!t->done)
			committed(t, m->number);
		break;
	case TAKE_STAYS:
		t->rest = (struct takeover_rest){ .pid = t->pid, .connections = m->number,
			.until_ms = clock_ms() + 1000 * (uint64_t)m->seconds };
		memcpy(t->rest.why, m->text, sizeof(t->rest.why));
		break;
	case TAKE_ABORT:
		if (t->done)
			break;
		log_about(LOG_LEVEL_ERROR, log_of(LOG_EVENT_TAKEOVER),
		    "takeover: process %u serves on: %s", t->pid, m->text);
		t->done = true;
		t->env.done(t->env.arg, false);
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
	if (r == 0 || errno != EAGAIN)
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
