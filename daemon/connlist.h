/* connlist.h: the connections of all workers, asked for and put together as one list */
#ifndef DAEMON_CONNLIST_H
#define DAEMON_CONNLIST_H

#include <stddef.h>

struct conn_info;
struct connlist;
struct connlist_query;
struct mailbox;
struct worker;

/* Queries under way at once. Forgotten ones count, or they could pile up before a slow worker. */
#define CONNLIST_QUERIES_MAX 16

/*
 * Only a worker knows its connections. mailbox is that of the thread that asks; it and the nworkers
 * workers are borrowed, and need not all be there before the first query. NULL: out of memory.
 */
struct connlist *connlist_new(struct mailbox *mailbox, struct worker *const *workers,
    size_t nworkers);
/* When no worker runs and the mailbox is read no more: what is under way is dropped. */
void connlist_free(struct connlist **l);

/* list is lent; NULL: memory was out, here or at a worker. */
typedef void (*connlist_done_f)(void *arg, const struct conn_info *list, size_t n);

/*
 * Asks every worker; done(arg, ...) comes later, on the loop of the mailbox, and the query is gone
 * then. NULL, with a static text: nothing was asked.
 */
struct connlist_query *connlist_ask(struct connlist *l, connlist_done_f done, void *arg,
    const char **why_r) __attribute__((warn_unused_result));
/* done will not be called. Clears the caller's pointer. */
void connlist_forget(struct connlist_query **q);

#endif
