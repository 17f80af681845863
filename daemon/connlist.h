/* connlist.h: the connections of all workers, asked for and put together as one list */
#ifndef DAEMON_CONNLIST_H
#define DAEMON_CONNLIST_H

#include <stddef.h>

struct conn_info;
struct conn_parts;
struct connlist;
struct connlist_query;
struct filter;
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

/*
 * Asks every worker; taken(arg, ...) comes later, on the loop of the mailbox, and the query is gone
 * then. What each worker has said is not yet put together: parts are whoever's is called, and
 * conn_parts_merge() is for a thread that may take its time. f: what is wanted, copied; NULL: all.
 * NULL, with a static text: nothing was asked.
 */
typedef void (*connlist_taken_f)(void *arg, struct conn_parts *parts);
struct connlist_query *connlist_take(struct connlist *l, const struct filter *f,
    connlist_taken_f taken, void *arg, const char **why_r) __attribute__((warn_unused_result));
/* As one list, for the caller to free; NULL: memory is out, or was at a worker. */
struct conn_info *conn_parts_merge(const struct conn_parts *parts, size_t *n_r);
void conn_parts_free(struct conn_parts **parts);

/* taken will not be called. Clears the caller's pointer. */
void connlist_forget(struct connlist_query **q);

#endif
