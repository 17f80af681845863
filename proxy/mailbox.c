/* mailbox.c: run a function on another thread's event loop */
#include "config.h"

#include "proxy/mailbox.h"

#include "base/magic.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

struct call {
	void (*f)(void *arg);
	void *arg;
	STAILQ_ENTRY(call) entry;
};

STAILQ_HEAD(calls, call);

#define MAILBOX_MAGIC 0x3a11b0c5u

struct mailbox {
	MAGIC_MEMBER
	pthread_mutex_t lock;	/* a leaf: guards the queue, not held while calls run */
	struct calls calls;
	int fd;
	struct event *ev;
};

void
mailbox_drain(struct mailbox *m)
{
	struct calls todo = STAILQ_HEAD_INITIALIZER(todo);
	struct call *c;

	pthread_mutex_lock(&m->lock);
	STAILQ_CONCAT(&todo, &m->calls);
	pthread_mutex_unlock(&m->lock);
	while ((c = STAILQ_FIRST(&todo)) != NULL) {
		STAILQ_REMOVE_HEAD(&todo, entry);
		c->f(c->arg);
		free(c);
	}
}

void
mailbox_cancel(struct mailbox *m, const void *arg)
{
	struct calls kept = STAILQ_HEAD_INITIALIZER(kept);
	struct call *c;

	pthread_mutex_lock(&m->lock);
	while ((c = STAILQ_FIRST(&m->calls)) != NULL) {
		STAILQ_REMOVE_HEAD(&m->calls, entry);
		if (c->arg == arg)
			free(c);
		else
			STAILQ_INSERT_TAIL(&kept, c, entry);
	}
	STAILQ_CONCAT(&m->calls, &kept);
	pthread_mutex_unlock(&m->lock);
}

static void
mailbox_cb(evutil_socket_t fd, short what, void *arg)
{
	struct mailbox *m = arg;
	uint64_t n;

	(void)what;
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (read(fd, &n, sizeof(n)) == sizeof(n))
		mailbox_drain(m);
}

struct mailbox *
mailbox_new(struct event_base *base)
{
	struct mailbox *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	MAGIC_SET(m, MAILBOX_MAGIC);
	pthread_mutex_init(&m->lock, NULL);
	STAILQ_INIT(&m->calls);
	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->fd == -1 ||
	    (m->ev = event_new(base, m->fd, EV_READ | EV_PERSIST, mailbox_cb, m)) == NULL ||
	    event_add(m->ev, NULL) == -1)
		mailbox_free(&m);
	return m;
}

void
mailbox_free(struct mailbox **mp)
{
	struct mailbox *m = *mp;
	struct call *c;

	if (m == NULL)
		return;
	if (m->ev != NULL)
		event_free(m->ev);
	if (m->fd != -1)
		close(m->fd);
	while ((c = STAILQ_FIRST(&m->calls)) != NULL) {
		STAILQ_REMOVE_HEAD(&m->calls, entry);
		free(c);
	}
	pthread_mutex_destroy(&m->lock);
	MAGIC_CLEAR(m);
	free(m);
	*mp = NULL;
}

int
mailbox_post(struct mailbox *m, void (*f)(void *arg), void *arg)
{
	const uint64_t one = 1;
	struct call *c = malloc(sizeof(*c));

	if (c == NULL)
		return -1;
	*c = (struct call){ .f = f, .arg = arg };
	pthread_mutex_lock(&m->lock);
	STAILQ_INSERT_TAIL(&m->calls, c, entry);
	pthread_mutex_unlock(&m->lock);
	/* It can only fail when the counter is full, and then the loop is awake already. */
	if (write(m->fd, &one, sizeof(one)) == -1)
		return 0;
	return 0;
}
