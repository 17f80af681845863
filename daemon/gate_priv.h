/* gate_priv.h: the inside of a running smbgate, for gate.c, gate_map.c and gate_reload.c alone */
#ifndef DAEMON_GATE_PRIV_H
#define DAEMON_GATE_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/keywatch.h"
#include "base/magic.h"
#include "daemon/ctl_env.h"
#include "policy/conf.h"
#include "proxy/worker.h"
#include "state/link_conf.h"
#include "state/record.h"

struct cluster;
struct conf;
struct connlist;
struct scribe;
struct ctl;
struct drainer;
struct errands;
struct errlist;
struct event;
struct event_base;
struct gate_sockets;
struct guard;
struct handing;
struct health;
struct homes;
struct http;
struct keeper;
struct keyhash;
struct letgo;
struct mailbox;
struct minute;
struct mover;
struct node;
struct nodewatch;
struct policy;
struct secret;
struct service;
struct stand;
struct state;
struct takeover;
struct tls;

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
	struct keyhash *hash, *plain_hash;	/* the same; plain: not keyed */
	struct event *rests;		/* the same: who is on drained nodes is told again */
	struct homes *homes;		/* the keeper's thread's */
	struct homes *_Atomic homes_next;	/* to be taken over by it */
	bool agreed;			/* nodes_agree() was said of all proxies once */
	struct cluster *cluster;	/* the same */
	struct record_seal seal;
	struct link_conf redis;		/* the same; its texts are conf's */
	struct wire_tls tls;		/* the same */
	struct ctl_status status;	/* one reference to its policy */
	bool misread;			/* policy.conf, the last time; a node-file alters nothing */
	struct stats stats;		/* the main thread's: of its probes */
	struct health *health;
	struct nodewatch *nodewatch;
	struct ctl_env ctl_env;
	uint64_t accepted_before[CONF_LISTEN_MAX];	/* the same's */
	struct ctl *ctl;
	struct minute *minute;
	struct service *service;
	struct http *http;		/* NULL: smbgate is not seen over HTTP */
	struct connlist *connlist;
	struct scribe *scribe, *clerk;	/* as of ctl_env */
	struct letgo *letgo;
	struct drainer *drainer;
	struct mover *mover;
	struct loglevel *loglevel;
	struct guard *guard;		/* NULL: there is no keytab; borrowed */
	struct event *guard_ev;		/* NULL when the guard is gone */
	struct keywatch keywatch;
	bool transparent;		/* as gate_sockets says */
	struct handing *handing;	/* NULL: nobody can take over, yet */
	struct errands *errands;	/* what operators ask of whoever has taken over */
	struct takeover *takeover;	/* from whom we do, or did; NULL: from nobody */
	bool serving, handed;		/* we do; another one does */
	bool failed;			/* the other one serves on */
	struct gate_sockets *sockets;	/* borrowed; control and http are its own until we serve */
	void (*ready)(void *arg);	/* as of gate_run() */
	void *ready_arg;
	struct worker **workers;
	struct gate_thread *threads;
	size_t nworkers;
	size_t nrunning;
};

/* Where somebody has said that a node is to be drained. */
enum gate_operator { GATE_OPERATOR_HERE, GATE_OPERATOR_ELSEWHERE };

/*
 * Drains a node, or ends that; the other proxies are told of what was said here. age_ms: since it
 * was said.
 */
void gate_drain(struct gate *g, struct node *n, const struct stand *s, enum gate_operator by,
    uint64_t age_ms);

/*
 * Nodes have come, gone, or been drained: the other proxies learn which clients are not where they
 * would be placed now.
 */
void gate_rehome(struct gate *g);
/* As of struct ctl_env; arg is the gate. */
void gate_write_homes(void *arg, struct tlv_out *o);
int gate_read_homes(void *arg, const void *record, size_t len);

/* Adds an error where policy wants what this process cannot do. */
void gate_check(const struct gate *g, const struct policy *p, struct errlist *e);
/* Puts a policy into force; takes over the reference. */
void gate_enforce(struct gate *g, struct policy *p);
/*
 * Reads policy.conf again, and has the keytab read again. 0: the policy is in force. -1: it is not,
 * the old one stays, every error is logged and in *e.
 */
int gate_reload(struct gate *g, struct errlist *e);
/* The node-file has changed: the same, with policy.conf as it was read last. */
void gate_reload_nodes(struct gate *g);

/* The map shared over Redis, where smbgate.conf has one. tls: NULL: plain. -1: out of memory. */
int gate_share_map(struct gate *g, const struct secret *secret, struct tls *tls)
    __attribute__((warn_unused_result));
/* Connects to Redis; the nodes and the workers are there. -1: out of memory. */
int gate_keep_map(struct gate *g) __attribute__((warn_unused_result));
/* The workers are done. */
void gate_leave_map(struct gate *g);
/*
 * In the place of gate_serve(), where another smbgate serves yet: it is asked for what it has, and
 * then. -1: out of memory.
 */
int gate_take_over(struct gate *g) __attribute__((warn_unused_result));
/* From now on clients are accepted, and operators heard. -1: out of memory. */
int gate_serve(struct gate *g) __attribute__((warn_unused_result));
/* A successor may come. -1: out of memory. */
int gate_hand_over(struct gate *g) __attribute__((warn_unused_result));
/* Operators may have drained nodes that are new here. */
void gate_repeat_drains(struct gate *g);

#endif
