/* link.h: one connection to Redis: made, kept, watched by timers, and made again */
#ifndef STATE_LINK_H
#define STATE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/fault.h"
#include "state/link_conf.h"
#include "state/names.h"
#include "state/script.h"

struct event_base;
struct link;
struct redisReply;

/* For reports. */
struct link_info {
	bool ready;
	char server[WIRE_NAME_MAX];	/* in use, or tried last; "": none */
	char role[16];			/* as ROLE said; "": not known */
	char eviction[24];		/* what it does when memory is full; "": not known */
	uint64_t since_ms;		/* of the last change of ready */
	uint64_t connects;
};

/* ready: scripts work on the connection, or do no longer. push: a message of a subscription. */
struct link_ops {
	void (*ready)(void *arg, bool ready);
	void (*push)(void *arg, const struct redisReply *r);	/* NULL: none may come */
};

/* NULL: the connection ended, or Redis cannot serve now. */
typedef wire_reply_f link_reply_f;

/*
 * Lives on the loop base. Begins to connect at once, and again, with jitter, whenever the
 * connection ends. try_key is a name on which nothing is lost. faults counts what goes wrong; conf
 * is borrowed. NULL when memory is out.
 */
struct link *link_new(struct event_base *base, const struct link_conf *conf,
    const char try_key[NAMES_KEY_MAX], struct faults *faults, const struct link_ops *ops,
    void *arg);
/* Every cb that still waits gets NULL. */
void link_free(struct link **l);

/* Has it been ready before, and became so again less than ms ago? */
bool link_returned(const struct link *l, uint64_t ms);
void link_describe(struct link *l, struct link_info *info);

/*
 * Asks; false when that cannot be, and then cb is not called. Otherwise cb is called once, never
 * before link_ask() returns.
 */
bool link_ask(struct link *l, int argc, const char **argv, const size_t *len, link_reply_f cb,
    void *arg);
bool link_run(struct link *l, enum script s, int nkeys, int argc, const char **argv,
    const size_t *len, link_reply_f cb, void *arg);

/* The connection ends, for that reason; every cb gets NULL. */
void link_fail(struct link *l, enum fault why);

/* Redis' clock in ms, as the answers tell it: a little behind rather than ahead; 0: unknown. */
uint64_t link_time(const struct link *l);
/* An answer had t, the time there. */
void link_note_time(struct link *l, uint64_t t);

#endif
