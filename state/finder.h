/* finder.h: where the master is: a Sentinel is asked again and again, or servers in their order */
#ifndef STATE_FINDER_H
#define STATE_FINDER_H

#include <stddef.h>

#include "state/fault.h"
#include "state/wire.h"

struct event_base;
struct link_conf;
struct finder;

struct finder_ops {
	/* The master is there, says who: a Sentinel, or the master itself. */
	void (*master)(void *arg, const struct wire_server *master, const char *who);
	/* What finder_find() began has failed: with that peer, and words for it, or NULL. */
	void (*failed)(void *arg, enum fault why, const char *peer, const char *words);
};

/* conf and ops are borrowed. NULL when memory is out. */
struct finder *finder_new(struct event_base *base, const struct link_conf *conf,
    struct faults *faults, const struct finder_ops *ops, void *arg);
void finder_free(struct finder **w);

/* With Sentinels: asks one now; master() or failed() follows. */
void finder_find(struct finder *w);
/*
 * From now on asks every ms, until finder_stop(): a Sentinel, or which of the first n servers is a
 * master. Only what is found is said.
 */
void finder_go_on(struct finder *w, unsigned ms, size_t n);
void finder_stop(struct finder *w);
/* What it said was of no use: the next Sentinel is asked from now on. */
void finder_next(struct finder *w);

#endif
