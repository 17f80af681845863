/* keyc_priv.h: inside a worker's side of smbgate-keyd, for keyc.c and those below it */
#ifndef AUTH_KEYC_PRIV_H
#define AUTH_KEYC_PRIV_H

#include <sys/queue.h>

#include "auth/keymsg.h"
#include "auth/keyresult.h"
#include "auth/keywatch.h"
#include "base/buf.h"
#include "base/magic.h"

struct event;
struct event_base;
struct keysource;

/*
 *	keyx ──► keyq: a share for each source ──► keysend ──► smbgate-keyd
 *	ready() ◄── keywait ◄── keyx ◄── keyc: answers, timeouts, a death
 */
struct keyx {
	struct keyc *c;
	uint64_t source;
	void (*ready)(void *arg);
	void *arg;
	struct keyx_result r;
	uint64_t id;			/* 0: smbgate-keyd keeps nothing of it */
	uint64_t epoch;			/* with an id: of the smbgate-keyd that was asked */
	enum keymsg_type last;		/* what was seen last; 0: nothing */
	struct {
		enum keymsg_type type;
		struct buf token;
	} unsent[2];			/* a CHALLENGE waits in it for its AUTHENTICATE */
	unsigned nunsent;
	unsigned unasked;		/* of these, that want an answer and were not asked about */
	unsigned owed;			/* answers to come to what was, sent or not */
	uint64_t since_us;		/* the first of them is waited for */

	struct keysource *queue;	/* NULL: not in the queue */
	TAILQ_ENTRY(keyx) queued;
	bool is_sent;			/* answers to what was sent are still to come */
	TAILQ_ENTRY(keyx) sent;
	enum { ON_NONE, ON_ASKING, ON_DONE } on;
	enum keyx_state outcome;	/* ON_DONE: what r.state is about to be */
	uint64_t deadline;		/* ON_ASKING, in ms */
	TAILQ_ENTRY(keyx) wait;		/* of one of the two lists */
};

TAILQ_HEAD(keyx_list, keyx);
TAILQ_HEAD(keysource_list, keysource);

#define KEYC_MAGIC 0x6b657963u

struct keyc {
	MAGIC_MEMBER
	struct event_base *base;
	struct keywatch *watch;
	int fd;				/* -1: no smbgate-keyd */
	bool greeted;			/* it has said HELLO */
	uint64_t epoch;			/* counts those that were attached */
	uint64_t next_id;
	uint64_t heard_ms;		/* of its last word, or of its start */
	unsigned unanswered;		/* requests that it has not answered */
	struct event *rd, *wr;
	struct event *timeout;		/* of the first that asks */
	bool looks_again;		/* that was late itself, and is set once more */
	struct event *done;		/* made active by whoever puts one on that list */
	struct keyx_list sent;
	struct keyx_list asking;	/* in the order of their deadlines */
	struct keyx_list finished;
	struct keysource_list sources;	/* whose turn it is comes first */
	size_t nqueued, queued_bytes;
	size_t nkeyx;
};

/* keyx.c: what an exchange is told. */

void keyx_fail(struct keyx *x, enum nokey_cause cause, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A KEY or a FAIL with its id. */
void keyx_answer(struct keyx *x, const struct keymsg *m);

/* keysend.c: the way to smbgate-keyd. */

/* Sends what it takes now. That it is dead shows where it is read from. */
void keysend_pump(struct keyc *c);
/* If it gets lost, smbgate-keyd forgets by itself after a while. */
void keysend_forget(struct keyc *c, uint64_t id);

/* keyq.c: what waits to be sent. */

/*
 * NULL: it waits now. Otherwise the one that must fail for want of room, which is not in the queue:
 * x itself, or the last of the source that has most; then it is to be tried again.
 */
struct keyx *keyq_add(struct keyx *x) __attribute__((warn_unused_result));
/* Out of the queue, wherever it is. */
void keyq_remove(struct keyx *x);
/* The one to be sent next, or NULL. */
struct keyx *keyq_first(const struct keyc *c);
/* The first of its messages was sent. Once it was the last, it is the next source's turn. */
void keyq_sent(struct keyx *x);

/* keywait.c: answers waited for, and those told of theirs. */

/* An answer is asked for: there is a deadline, that of the last thing asked. */
void keywait_ask(struct keyx *x);
/* One whose deadline has passed, or NULL: then the timer is set for the next. */
struct keyx *keywait_late(struct keyc *c, uint64_t now);
/* We stood still, as a machine does that is moved, and smbgate-keyd too: it has as long again. */
bool keywait_excuse(struct keyc *c, uint64_t now);
/* ready() will run soon. */
void keywait_finish(struct keyx *x, enum keyx_state outcome);
/* Nothing is waited for any more. */
void keywait_leave(struct keyx *x);
/* ready() runs for those that are finished. */
void keywait_tell(struct keyc *c);

/* A ticket is opened in milliseconds, and clients wait longer than this. */
#define KEYWAIT_MS 2000
/* Where the timer of that is so late itself, the answers have as long once more. */
#define KEYLATE_MS 500

#endif
