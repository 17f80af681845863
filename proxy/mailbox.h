/* mailbox.h: run a function on another thread's event loop */
#ifndef PROXY_MAILBOX_H
#define PROXY_MAILBOX_H

struct event_base;
struct mailbox;

/* A mailbox belongs to the thread that runs base. NULL when out of memory or descriptors. */
struct mailbox *mailbox_new(struct event_base *base);
/* Runs what waits now, on the caller's thread: for the end, when the loop has stopped. */
void mailbox_drain(struct mailbox *m);
/* Who is about to be freed, and posts no more: calls with this argument that wait are dropped. Not
 * from within a call. */
void mailbox_cancel(struct mailbox *m, const void *arg);

/* Undelivered calls are dropped: close it when nobody posts any more. */
void mailbox_free(struct mailbox **m);

/* From any thread: f(arg) will run on the loop, in the order of posting. -1: out of memory. */
int mailbox_post(struct mailbox *m, void (*f)(void *arg), void *arg)
    __attribute__((warn_unused_result));

#endif
