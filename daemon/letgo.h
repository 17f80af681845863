/* letgo.h: clients that go, each from all workers and proxies together, or not at all */
#ifndef DAEMON_LETGO_H
#define DAEMON_LETGO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct keeper;
struct letgo;
struct mailbox;
struct parting;
struct secret;
struct shared;
struct state;
struct talk;
struct worker;

/*
 *	letgo_ask ─► every worker, and every proxy: quiet? then do not read on
 *	                 all have said so ─► go     one has not, or none answered ─► resume
 *
 * Whoever is told to go late, or has got a further connection since, is looked at once more.
 *
 * While the other proxies cannot be asked (Redis is out of reach, or there is no cluster secret) no
 * client is known to be quiet. Runs on the main thread; what it is made of is borrowed.
 */
struct letgo_env {
	struct event_base *base;
	struct mailbox *mailbox;	/* of base */
	struct worker *const *workers;
	size_t nworkers;
	struct state *state;
	const struct secret *secret;
	struct shared *shared;		/* NULL: there are no others */
	struct keeper *const *keeper;	/* comes later */
};

/* NULL: memory is out. */
struct letgo *letgo_new(const struct letgo_env *env);
/* Nothing more is asked or ended, and nobody is called. */
void letgo_close(struct letgo *l);
/* After letgo_close(), and when all that was ordered has run. */
void letgo_free(struct letgo **l);

/*
 * result: a mask of those that have gone; of letgo_end(): how many connections ended here, of all
 * those that were ended in one go.
 */
typedef void (*letgo_f)(void *arg, uint32_t result);

/* False: not now, and done is not called. */
bool letgo_ask(struct letgo *l, const struct parting *p, uint32_t quiet_s, letgo_f done, void *arg);
/*
 * Whether they are quiet or not. done may be NULL, or called before this returns; else p is one
 * client.
 */
void letgo_end(struct letgo *l, const struct parting *p, letgo_f done, void *arg);

/* Whether other proxies, if there are any, can be told. */
bool letgo_reaches(const struct letgo *l);

/* What another proxy has told, or this one. */
void letgo_heard(struct letgo *l, const struct talk *t);

#endif
