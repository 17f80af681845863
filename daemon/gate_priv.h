/* gate_priv.h: the inside of a running smbgate, for gate.c, gate_map.c and gate_reload.c alone */
#ifndef DAEMON_GATE_PRIV_H
#define DAEMON_GATE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/magic.h"
#include "daemon/ctl_env.h"
#include "proxy/worker.h"
#include "state/link.h"
#include "state/record.h"

struct cluster;
struct conf;
struct connlist;
struct ctl;
struct errlist;
struct event;
struct event_base;
struct guard;
struct health;
struct keeper;
struct keyhash;
struct mailbox;
struct minute;
struct node;
struct policy;
struct secret;
struct state;

#define GATE_MAGIC 0x47415445u

/* About 200 bytes each: the map cannot eat the machine, whatever GUIDs come. */
#define GATE_CLAIMS_MAX 1000000

/*
 * Owner of everything that is one a process. Lives on the main thread, whose loop runs signals,
 * the control socket and the health checks; only `parts` is shared with the workers.
 */
struct gate {
	MAGIC_MEMBER
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
	struct ctl_status status;	/* one reference to its policy */
	struct stats stats;		/* the main thread's: of its probes */
	struct health *health;
	struct ctl_env ctl_env;
	struct ctl *ctl;
	struct minute *minute;
	struct connlist *connlist;
	struct guard *guard;		/* NULL: there is no keytab; borrowed */
	struct event *guard_ev;		/* NULL when the guard is gone */
	bool transparent;		/* as gate_sockets says */
	struct worker **workers;
	struct gate_thread *threads;
	size_t nworkers;
	size_t nrunning;
};

/* Where somebody has said that a node is to be drained. */
enum gate_operator { GATE_OPERATOR_HERE, GATE_OPERATOR_ELSEWHERE };

/* Drains a node, or ends that; the other proxies are told of what was said here. */
void gate_drain(struct gate *g, struct node *n, bool drain, enum gate_operator by);

/*
 * Nodes have come, gone, or been drained: the other proxies learn which clients are not where they
 * would be placed now.
 */
void gate_rehome(struct gate *g);

/* Adds an error where policy wants what this process cannot do. */
void gate_check(const struct gate *g, const struct policy *p, struct errlist *e);
/* Puts a policy into force; takes over the reference. */
void gate_enforce(struct gate *g, struct policy *p);
/*
 * Reads policy.conf again, and has the keytab read again. 0: the policy is in force. -1: it is not,
 * the old one stays, every error is logged and in *e.
 */
int gate_reload(struct gate *g, struct errlist *e);

/* Connects to Redis, where smbgate.conf has one. -1: out of memory. */
int gate_share_map(struct gate *g, const struct secret *secret) __attribute__((warn_unused_result));

#endif
