/* link.h: one connection to Redis: made, kept, watched by timers, and made again */
#ifndef STATE_LINK_H
#define STATE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "state/fault.h"
#include "state/script.h"

struct event_base;
struct link;
struct redisReply;

#define LINK_SERVERS_MAX 16
#define LINK_PATH_MAX 108

struct link_server {
	struct addrport address;
	char path[LINK_PATH_MAX];	/* a unix socket; "": address */
};

/* Where Redis is, and who we are there. */
struct link_conf {
	struct link_server servers[LINK_SERVERS_MAX];
	size_t nservers;
	char *sentinel;			/* the master's name: servers are Sentinels; NULL: Redis */
	char *user, *password;		/* NULL: none */
	unsigned timeout_ms;		/* for one question, all in all */
};

/* For reports. */
struct link_info {
	bool ready;
	char server[ADDR_STRLEN + LINK_PATH_MAX];	/* in use, or tried last; "": none */
	char role[16];			/* as ROLE said; "": not known */
	uint64_t since_ms;		/* of the last change of ready */
	uint64_t connects;
};

/* ready: the connection can be used, or no longer. push: a message of a subscription. */
struct link_ops {
	void (*ready)(void *arg, bool ready);
	void (*push)(void *arg, const struct redisReply *r);	/* NULL: none may come */
};

/* NULL: the connection ended, or Redis cannot serve now. */
typedef void (*link_reply_f)(void *arg, const struct redisReply *r);

/*
 * Lives on the loop base. Begins to connect at once, and again, with jitter, whenever the
 * connection ends. faults counts what goes wrong; conf is borrowed. NULL when memory is out.
 */
struct link *link_new(struct event_base *base, const struct link_conf *conf,
    struct faults *faults, const struct link_ops *ops, void *arg);
/* Every cb that still waits gets NULL. */
void link_free(struct link **l);

bool link_ready(const struct link *l);
/* Has it been ready before, and became so again less than ms ago? */
bool link_returned(const struct link *l, uint64_t ms);
void link_describe(struct link *l, struct link_info *info);

/*
 * Asks; 0 when that cannot be, and then cb is not called. Otherwise the number to forget it by;
 * cb is called once, never before link_ask() returns.
 */
uint64_t link_ask(struct link *l, int argc, const char **argv, const size_t *len, link_reply_f cb,
    void *arg);
uint64_t link_run(struct link *l, enum script s, int nkeys, int argc, const char **argv,
    const size_t *len, link_reply_f cb, void *arg);
/* That answer is not wanted any more: its cb is not called. */
void link_forget(struct link *l, uint64_t number);

/* The connection ends, for that reason; every cb gets NULL. */
void link_fail(struct link *l, enum fault why);

/* Redis' clock in ms, as the answers tell it: a little behind rather than ahead; 0: unknown. */
uint64_t link_time(const struct link *l);
/* An answer had t, the time there. */
void link_note_time(struct link *l, uint64_t t);

#endif
