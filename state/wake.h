/* wake.h: another thread's event loop is told that there is something to do */
#ifndef STATE_WAKE_H
#define STATE_WAKE_H

struct event_base;
struct wake;

/* f(arg) runs on the thread of base, once for one call of wake_up() or several. */
struct wake *wake_new(struct event_base *base, void (*f)(void *arg), void *arg);
void wake_free(struct wake **w);
/* From any thread. */
void wake_up(struct wake *w);

#endif
