/* gate.h: the whole of a running smbgate: start, reload, stop */
#ifndef DAEMON_GATE_H
#define DAEMON_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/worker.h"
#include "state/link.h"
#include "state/record.h"

struct conf;
struct cluster;
struct ctl;
struct errlist;
struct event;
struct event_base;
struct guard;
struct health;
struct keeper;
struct keyhash;
struct mailbox;
struct policy;
struct state;

/*
 * Owner of everything that is one a process. Lives on the main thread, whose loop runs signals,
 * the control socket and the health checks; only `parts` is shared with the workers. Its fields
 * are for gate.c, and for the control socket to read.
 */
struct gate {
	const struct conf *conf;
	struct event_base *base;
	struct mailbox *mailbox;	/* the main thread's */
	struct worker_parts parts;
	struct state *state;		/* the main thread's handle */
	struct keeper *keeper;		/* NULL: the map is not shared */
	struct keyhash *hash;		/* the same */
	struct cluster *cluster;	/* the same */
	struct record_seal seal;
	struct link_conf redis;		/* the same; its texts are conf's */
	struct policy *policy;		/* in force */
	struct health *health;
	struct ctl *ctl;
	struct guard *guard;		/* NULL: there is no keytab; borrowed */
	struct event *guard_ev;		/* NULL when the guard is gone */
	bool transparent;		/* as gate_sockets says */
	struct worker **workers;
	struct gate_thread *threads;
	size_t nworkers;
	size_t nrunning;
	uint64_t started_ms;
	uint64_t reloads_good, reloads_bad;
	uint64_t policy_since_ms;
};

/*
 * What is made before privileges are dropped: listening sockets, nworkers for each listener, and
 * the guard of the keytab; and what may be done without them.
 */
struct gate_sockets {
	unsigned nworkers;
	struct guard *guard;		/* NULL: there is no keytab */
	bool transparent;		/* may dial from addresses that are not this machine's */
	int control;			/* listening unix socket */
	int *fds;			/* [worker * nlisten + listener] */
};

/* 0, or -1: the reason is logged. The caller frees s->fds in both cases. */
int gate_bind(struct gate_sockets *s, const struct conf *conf) __attribute__((warn_unused_result));

/*
 * Takes over the descriptors and the reference to the policy; starts the workers. conf, secret,
 * the guard and the list s itself are borrowed. NULL: the reason is logged.
 */
struct gate *gate_new(const struct conf *conf, struct policy *policy, const struct secret *secret,
    struct gate_sockets *s);
/*
 * Runs until SIGTERM or SIGINT, which the caller has blocked together with SIGHUP: from here on they
 * are heard. ready() is called once when everything serves.
 */
void gate_run(struct gate *g, void (*ready)(void *arg), void *arg);
void gate_free(struct gate **g);

/*
 * Reads policy.conf again, and has the keytab read again. 0: the policy is in force. -1: it is not,
 * the old one stays, every error is logged and in *e.
 */
int gate_reload(struct gate *g, struct errlist *e);

/*
 * Nodes have come, gone, or been drained: clients that are where they would not be sent now are made
 * known to the other proxies.
 */
void gate_rehome(struct gate *g);

/* Warnings about a pair of files that is valid, but says something that cannot be meant. */
void gate_warn(const struct conf *conf, const struct policy *p);

#endif
