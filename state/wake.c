/* wake.c: another thread's event loop is told that there is something to do */
#include "config.h"

#include "state/wake.h"

#include "base/magic.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#define WAKE_MAGIC 0x77616b65u

struct wake {
	MAGIC_MEMBER
	int fd;
	struct event *ev;
	_Atomic bool called;		/* and not yet heard */
	void (*f)(void *arg);
	void *arg;
};

static void
wake_cb(evutil_socket_t fd, short what, void *arg)
{
	struct wake *w = arg;
	uint64_t n;

	(void)what;
	MAGIC_CHECK(w, WAKE_MAGIC);
	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return;
	atomic_store(&w->called, false);
	w->f(w->arg);
}

struct wake *
wake_new(struct event_base *base, void (*f)(void *arg), void *arg)
{
	struct wake *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	MAGIC_SET(w, WAKE_MAGIC);
	w->f = f;
	w->arg = arg;
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->fd == -1 ||
	    (w->ev = event_new(base, w->fd, EV_READ | EV_PERSIST, wake_cb, w)) == NULL ||
	    event_add(w->ev, NULL) == -1)
		wake_free(&w);
	return w;
}

void
wake_free(struct wake **wp)
{
	struct wake *w = *wp;

	if (w == NULL)
		return;
	if (w->ev != NULL)
		event_free(w->ev);
	if (w->fd != -1)
		close(w->fd);
	MAGIC_CLEAR(w);
	free(w);
	*wp = NULL;
}

void
wake_up(struct wake *w)
{
	const uint64_t one = 1;

	/* A full counter has the loop awake already. */
	if (!atomic_exchange(&w->called, true) && write(w->fd, &one, sizeof(one)) == -1)
		return;
}

void
wakes_add(struct wakes *all, struct wake *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < all->n; i++)
		if (all->who[i] == w)
			return;
	if (all->n < WAKES_MAX)
		all->who[all->n++] = w;
	else
		wake_up(w);
}

void
wakes_unlock(struct wakes *all, pthread_mutex_t *lock)
{
	struct wake *who[WAKES_MAX];
	const size_t n = all->n;

	for (size_t i = 0; i < n; i++)
		who[i] = all->who[i];
	all->n = 0;
	pthread_mutex_unlock(lock);
	for (size_t i = 0; i < n; i++)
		wake_up(who[i]);
}
