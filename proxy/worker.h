/* worker.h: one thread with one event loop and every connection that it accepted */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/magic.h"
#include "proxy/describe.h"
#include "proxy/env.h"
#include "proxy/giving.h"
#include "stats/stats.h"

struct conf_listen;
struct event;
struct event_base;
struct giving;
struct keyc;
struct keywatch;
struct lasts;
struct limits;
struct listener;
struct local_map;
struct shared;
struct state_key;
struct vc_reset;
struct mailbox;
struct parting;
struct node;
struct nodes;
struct policy;
struct refused;
struct secret;
struct sesstab;
struct taking;
struct tap;

/* What all workers share; each part has its own leaf lock. Owned by the gate. */
struct worker_parts {
	struct nodes *nodes;
	struct sesstab *sessions;
	struct local_map *claims;
	struct shared *shared;		/* NULL: the map is claims alone */
	struct limits *limits;
	struct refused *refused;	/* NULL: nobody keeps them */
	struct lasts *lasts;		/* the same */
	const struct secret *secret;
	struct worker *const *workers;	/* nworkers of them, all there before the first one runs */
	unsigned nworkers;
	struct keywatch *keywatch;	/* NULL: there is no keytab, and so no smbgate-keyd */
};

#define WORKER_MAGIC 0x3012c412u

struct worker {
	MAGIC_MEMBER
	unsigned index;
	const struct worker_parts *parts;
	struct event_base *base;
	struct mailbox *mailbox;
	/* once a second: peers that died unnoticed, nodes in doubt */
	struct event *tick, *look;	/* it begins, the next few are looked at */
	struct keyc *keyc;		/* NULL: there is no keytab */
	struct giving *giving;		/* NULL: it keeps what it has */
	struct taking *taking;		/* what connections come by; NULL: none do */
	struct listener **listeners;
	size_t nlisteners;
	uint64_t moved, trimmed;	/* connections: see give_back() */
	_Atomic uint64_t turned_ms;	/* its loop did then; 0: not yet. Read by any thread */
	struct stats stats;
	struct conn_env env;
};

/*
 * Everything but the thread. listen: all that smbgate listens to, borrowed for good. NULL when
 * something is missing: the reason is logged.
 */
struct worker *worker_new(unsigned index, const struct worker_parts *parts, struct policy *policy,
    const struct conf_listen *listen, size_t n);
/*
 * Before it runs: one more listening socket, taken over, of one of those. Nobody is accepted before
 * worker_listen(). -1: memory or descriptors are out.
 */
int worker_add_listener(struct worker *w, int fd, const struct conf_listen *listen)
    __attribute__((warn_unused_result));
/* Runs the loop until worker_stop(). */
void worker_run(struct worker *w);
/* After the loop has ended: closes every connection. */
void worker_free(struct worker **w);

/* On its own thread alone: the policy in force from now on. Takes a reference of its own. */
void worker_use_policy(struct worker *w, struct policy *p);

/* From any thread; each takes effect on the worker's loop. */
void worker_stop(struct worker *w);
/* Takes a reference of its own. */
void worker_policy(struct worker *w, struct policy *p);
/* A smbgate-keyd has been started: the connection to it, taken over. */
void worker_keyd(struct worker *w, int fd);
/*
 * Its connections here end, for that reason: CLOSE_CLAIM_LOST: the client lives on another node,
 * through another proxy; CLOSE_NODE_HUNG: see lost_add().
 */
void worker_claim_lost(struct worker *w, const struct state_key *key, enum close_reason why);
/* A client has lost its connections: those that live here end. */
void worker_vc_reset(struct worker *w, const struct vc_reset *r);
/* A capture or trace begins, or is over; takes a reference of its own. */
void worker_tap(struct worker *w, struct tap *t, bool on);
/* The node is in doubt: its connections are looked at now. */
void worker_node_doubt(struct worker *w, struct node *n);

/*
 * What has become of clients there: those that are not quiet, as parting_park() says, or how many
 * connections have ended. On the worker's loop.
 */
typedef void (*worker_parted_f)(void *arg, uint32_t result);
enum worker_parting { WORKER_PARK, WORKER_RESUME, WORKER_GO, WORKER_END };
/*
 * done may be NULL; then those that are to end do within a few turns, as many as they are. When
 * memory is out, all are busy, or none has ended.
 */
void worker_part(struct worker *w, enum worker_parting what, const struct parting *p,
    uint32_t quiet_s, worker_parted_f done, void *arg);
/* It takes no new connections any more. */
void worker_unlisten(struct worker *w);
/* Nor for now; or again. */
void worker_listen(struct worker *w, bool on);
/*
 * Its connections go to another process, and nobody new comes: giving_new() with its arguments;
 * report(arg) runs on the worker's loop.
 */
void worker_give(struct worker *w, const int *fds, size_t n, giving_f report, void *arg);
/* It reports at once: giving_say(). */
void worker_say(struct worker *w, uint64_t asked);
/* They stay, those that are still here. */
void worker_keep(struct worker *w);
/* Connections come by fd, which is taken over: see taking.h. */
void worker_take(struct worker *w, int fd);
/* Those of the worker that came by themselves have greater numbers than that. */
void worker_number(struct worker *w, uint64_t beyond);

/* A handle of the map of claims for the thread that runs base; NULL: for reading alone. */
struct state *worker_state(const struct worker_parts *parts, struct event_base *base);

/*
 * From any thread: the bytes that all of them have moved to and from nodes of a name, by its
 * number: see nodes/traffic.h.
 */
void workers_moved(struct worker *const *workers, size_t n, unsigned number,
    uint64_t bytes[TRAFFIC_WAYS]);

/* The same: how many connections they have. */
uint64_t workers_connections(struct worker *const *workers, size_t n);

/* From any thread: as describe_start(). */
void worker_describe(struct worker *w, const struct filter *f, described_f done, void *arg);

#endif
