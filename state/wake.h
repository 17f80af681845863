/* wake.h: another thread's event loop is told that there is something to do */
#ifndef STATE_WAKE_H
#define STATE_WAKE_H

#include <pthread.h>
#include <stddef.h>

struct event_base;
struct wake;

/* f(arg) runs on the thread of base, once for one call of wake_up() or several. */
struct wake *wake_new(struct event_base *base, void (*f)(void *arg), void *arg);
void wake_free(struct wake **w);
/* From any thread. */
void wake_up(struct wake *w);

/*
 * Whom to wake once a lock is free: who is woken while it is held may run at once and wait for it,
 * and the holder for its next turn. All zero at first; behind that lock.
 */
#define WAKES_MAX 64

struct wakes {
	struct wake *who[WAKES_MAX];
	size_t n;
};

/* NULL is allowed. */
void wakes_add(struct wakes *all, struct wake *w);
/* Whoever was added must outlive the threads that do this. */
void wakes_unlock(struct wakes *all, pthread_mutex_t *lock);

#endif
