/* tap.h: one capture or trace: what workers see, on its way to the main thread */
#ifndef PROXY_TAP_H
#define PROXY_TAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/tapmsg.h"
#include "inspect/who.h"

struct mailbox;
struct tap;

/* Captures and traces at a time. */
#define TAPS_MAX 4

enum tap_kind { TAP_CAPTURE, TAP_TRACE };

struct tap_want {
	enum tap_kind kind;
	bool heads;		/* CAPTURE: the headers alone */
	struct who who;
};

/* A record: its header as of base/tapmsg.h, and its data. */
struct tap_block {
	STAILQ_ENTRY(tap_block) entry;
	size_t len;
	uint8_t bytes[];
};

STAILQ_HEAD(tap_blocks, tap_block);

/* What it has come to; read by any thread. */
struct tap_count {
	_Atomic unsigned looked;	/* workers that know of it */
	_Atomic unsigned live, total;	/* connections */
	_Atomic uint64_t records, bytes, lost, lost_bytes;
};

/*
 * more(arg) runs on the thread of `to`, some time after there is more to take, and never again
 * after tap_end(). A reference of the caller's; NULL: memory is out.
 */
struct tap *tap_new(const struct tap_want *want, struct mailbox *to, void (*more)(void *arg),
    void *arg);
struct tap *tap_ref(struct tap *t);
void tap_unref(struct tap **t);

const struct tap_want *tap_wanted(const struct tap *t);
struct tap_count *tap_counts(struct tap *t);

/*
 * From any thread, and it never waits: a record with m->len bytes of data. Where too much has not
 * been taken, it is counted as lost: bytes first, and what says where they belong last. m->time_us
 * is set here.
 */
void tap_put(struct tap *t, struct tapmsg *m, const void *data);
/* Nothing to take, but something to look at: runs more(). */
void tap_wake(struct tap *t);

/* For the main thread: all that is there, behind what is in *dst. */
void tap_take(struct tap *t, struct tap_blocks *dst);
/* The same: no more is wanted. */
void tap_end(struct tap *t);

#endif
