/* scribe.h: a thread of its own for long answers: whoever asks does not keep others waiting */
#ifndef DAEMON_SCRIBE_H
#define DAEMON_SCRIBE_H

#include <stdbool.h>

struct mailbox;
struct scribe;

/* One piece of work; embedded in what it is about. */
struct scribe_job {
	void (*work)(struct scribe_job *j);	/* on the scribe's thread */
	/* on the loop of the mailbox; dropped: it was not done, or nobody wants it any more */
	void (*done)(struct scribe_job *j, bool dropped);
	struct scribe_job *next;
};

/* The mailbox is that of the thread that asks, and borrowed. NULL: out of memory. */
struct scribe *scribe_new(struct mailbox *mailbox);
/* Starts its thread, which gives way to all others. 0, or an errno. */
int scribe_start(struct scribe *s) __attribute__((warn_unused_result));
/* On the asking thread: what is not done yet is dropped. */
void scribe_free(struct scribe **s);

/* Jobs are done one after the other. False: there is no thread, and nothing was asked. */
bool scribe_ask(struct scribe *s, struct scribe_job *j) __attribute__((warn_unused_result));
/*
 * Nobody wants it any more: one that waits for its turn is dropped, and done() called, before this
 * returns. One that has begun is finished, and delivered. s may be NULL.
 */
void scribe_forget(struct scribe *s, struct scribe_job *j);

#endif
