/* worker.h: one thread with one event loop and every connection that it accepted */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/magic.h"
#include "proxy/env.h"
#include "stats/stats.h"

struct conf_listen;
struct conn_info;
struct event;
struct event_base;
struct keyc;
struct limits;
struct listener;
struct local_map;
struct shared;
struct state_key;
struct mailbox;
struct node;
struct nodes;
struct policy;
struct secret;
struct sesstab;

/* What all workers share; each part has its own leaf lock. Owned by the gate. */
struct worker_parts {
	struct nodes *nodes;
	struct sesstab *sessions;
	struct local_map *claims;
	struct shared *shared;		/* NULL: the map is claims alone */
	struct limits *limits;
	const struct secret *secret;
	struct worker *const *workers;	/* nworkers of them, all there before the first one runs */
	unsigned nworkers;
	bool keyed;			/* there is a keytab, and so a smbgate-keyd */
};

#define WORKER_MAGIC 0x3012c412u

struct worker {
	MAGIC_MEMBER
	unsigned index;
	const struct worker_parts *parts;
	struct event_base *base;
	struct mailbox *mailbox;
	/* once a second: peers that died unnoticed, nodes in doubt */
	struct event *tick;
	struct keyc *keyc;		/* NULL: there is no keytab */
	struct listener **listeners;
	size_t nlisteners;
	struct stats stats;
	struct conn_env env;
};

/*
 * Everything but the thread. Takes over the listening sockets fds[i] of listen[i] (borrowed for
 * good). NULL when something is missing: the reason is logged.
 */
struct worker *worker_new(unsigned index, const struct worker_parts *parts, struct policy *policy,
    const int *fds, const struct conf_listen *listen, size_t n);
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
/* The client lives on another node, through another proxy: its connections here end. */
void worker_claim_lost(struct worker *w, const struct state_key *key);
/* A client has lost its connections: those that live here end. */
void worker_vc_reset(struct worker *w, const struct vc_reset *r);
/* The node is in doubt: its connections are looked at now. */
void worker_node_doubt(struct worker *w, struct node *n);

/* A handle of the map of claims for the thread that runs base; NULL: for reading alone. */
struct state *worker_state(const struct worker_parts *parts, struct event_base *base);

/*
 * From any thread: done(arg, list, n) runs on the worker's loop with a description of each of its
 * connections; the list is the callee's, to be freed with free().
 */
void worker_describe(struct worker *w, void (*done)(void *arg, struct conn_info *list, size_t n),
    void *arg);

#endif
