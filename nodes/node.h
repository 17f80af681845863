/* node.h: the running side of a cluster node: state, load, what its NEGOTIATE answer said */
#ifndef NODES_NODE_H
#define NODES_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/guid.h"
#include "nodes/stance.h"
#include "policy/conf.h"
#include "smb/neg2.h"
#include "state/state.h"

struct pol_node;
struct policy;

/* Longest security blob that is remembered of a node's answer; real ones are about 100 bytes. */
#define NODE_BLOB_MAX 1024
#define NODE_PROBE_WHY 128
/* Room for node_state() with its NUL. */
#define NODE_STATE_LEN 16

/* Counts of a node that a process hands to the next one: nodes/inherit.h. */
#define NODE_COUNTED 6

/* In the place of a dialect of SMB2: it knows SMB1 alone. */
#define NODE_DIALECT_SMB1 1

/*
 * A node is its name and address together: the same name with another address is another node.
 * It is made by nodes_apply() on the main thread, found and counted by workers, and goes when it
 * is no longer in the policy and the last connection to it has ended. Everything that changes is
 * atomic, but for its NEGOTIATE answer, which the table's lock guards.
 */
struct node {
	char id[STATE_NODE_LEN];	/* "name=address": its name in the map of claims */
	char name[64];
	struct addrport address;
	uint32_t alone;			/* the cluster of this node only */

	_Atomic unsigned refs;		/* connections, sessions and the table */
	_Atomic unsigned connections;
	unsigned before;	/* the same, of the process before this one; main thread */
	_Atomic unsigned at_listener[CONF_LISTEN_MAX];	/* of these, by conf_listen's index */
	/* As they were within the last second: requests without an answer, files not seen. */
	_Atomic unsigned outstanding, unseen;
	_Atomic unsigned weight;
	_Atomic uint32_t cluster;	/* that policy names; 0: none. See nodes/cluster.h */
	_Atomic unsigned health;	/* enum node_health */
	_Atomic bool listed;		/* in the policy in force */
	_Atomic bool maint;		/* policy says so */
	_Atomic bool drain_policy;	/* policy says so */
	_Atomic bool drain;		/* the operator says so */
	_Atomic bool maint_operator;	/* and that it is not to be probed */
	/* as all proxies last had it in common, where they share a map: see nodes_agree() */
	_Atomic bool agreed;		/* they had it */
	_Atomic unsigned home_weight;	/* as a home; 0: it is none */
	/* What its agent says, if it has one; see nodes/agent.h. */
	_Atomic unsigned agent_word;	/* enum agent_word */
	_Atomic unsigned agent_percent;	/* of its weight */
	_Atomic bool leave;		/* its clients go elsewhere, for its agent says so */
	struct addrport agent;		/* and from here on, for the main thread; port 0: none */
	char agent_why[AGENTLINE_WHY];
	char probe_why[NODE_PROBE_WHY];	/* how the last probe failed, in words; "": it has not */
	uint64_t agent_asked, agent_failures, agent_ms;	/* the last answer came then; 0: never */
	_Atomic bool unreached;		/* the last probe failed for this machine's own trouble */
	_Atomic bool held_down;		/* flaps: stays down until its hold is over, */
	uint64_t hold_ms;		/* not before then; 0 = no hold. The main thread's */
	_Atomic uint64_t up_since_ms;	/* came back then (slow start), 0 = from the start */
	_Atomic uint64_t changed_ms;	/* of the last change of health */
	char state[NODE_STATE_LEN];	/* as it was seen last, and since when: the main thread's */
	uint64_t state_ms;
	_Atomic bool served;		/* a client was answered since the last probe */
	_Atomic bool met;		/* the probe that is out came in at a listener of ours */
	_Atomic uint64_t logons, logons_failed;	/* that it let in, and that it rejected */
	_Atomic uint64_t logon_timeouts;	/* logons that it left without an answer */
	_Atomic unsigned logons_lost;	/* of those, in a row, up to now */
	_Atomic uint64_t logon_hold_ms;	/* so new clients go elsewhere until then; 0 = no */
	_Atomic uint64_t full_ms;	/* until then it lets nobody new in, as it seems; 0 = no */
	_Atomic uint64_t suspect_ms;	/* a connection failed then: probe soon; 0 = no */
	_Atomic uint64_t answered_ms;	/* a probe, the last time; 0 = never. See nodes/doubt.h */
	_Atomic uint64_t doubt_ms;	/* no probe was answered since then; 0 = no doubt */
	/* and clients would be served elsewhere since then; 0 = no */
	_Atomic uint64_t way_out_ms;
	_Atomic uint64_t trusted_ms;	/* the last doubt was over then; 0 = there was none */
	/* a connection was found dead, and no probe answered since */
	_Atomic bool gone;
	_Atomic uint64_t probes, probe_failures;
	_Atomic uint64_t probe_no_way;	/* of the failures: there was no connection */
	_Atomic uint64_t probe_us;	/* the last answer took so long */
	uint16_t traffic;		/* the number of its name: see traffic.h */
	bool resumed;			/* the process before has said how it was. Main thread */
	uint64_t told[NODE_COUNTED];	/* of its counts, to the next process: the main thread's */

	struct node *next;		/* the table's lock */
	struct nodes *table;
	_Atomic uint32_t capabilities;	/* of its NEGOTIATE answer, read without the lock */
	/* that it chose of all, NODE_DIALECT_SMB1, or 0 before it has answered */
	_Atomic uint16_t dialect;
	/* a probe with that ClientGuid is out; under the table's lock */
	bool probing;
	struct guid probe;
	bool answered;			/* there is one; the rest of it, under the table's lock: */
	struct neg2_resp answer;	/* without what depends on the dialect, and times */
	uint8_t blob[NODE_BLOB_MAX];
};

struct nodes;

/* Its name in the map of claims. */
void node_id(const struct pol_node *pn, char id[STATE_NODE_LEN]);

struct nodes *nodes_new(void);
void nodes_free(struct nodes **n);

/* Makes the table say what the policy says; nodes that it no longer has drain. Main thread. */
void nodes_apply(struct nodes *n, const struct policy *p, uint64_t now_ms);

/*
 * All proxies have the nodes as this one has them now: from now on homes are chosen by that, and
 * new clients may be placed on any of them. True: something is different from before. Main thread.
 */
bool nodes_agree(struct nodes *n);
/* What weight it would have then. */
unsigned node_home_weight(const struct node *n);

/* Forgets nodes that are not listed and have no connection. Main thread. */
void nodes_sweep(struct nodes *n);

/* How many numbers names have, and the name of one, which stays. */
unsigned nodes_names(struct nodes *n);
const char *nodes_name(struct nodes *n, unsigned number);
/* Bytes each way that the process before this one has counted: added to those of that name. */
void nodes_add_moved(struct nodes *n, const char *name, const uint64_t *bytes);
/* Adds them to bytes. */
void nodes_moved_before(struct nodes *n, unsigned number, uint64_t *bytes);

/* By identity, or NULL. The caller owns a reference: node_unref(). */
struct node *nodes_find(struct nodes *n, const char *id);
/* What that node of a policy is while it runs, or NULL. The same reference. */
struct node *nodes_find_policy(struct nodes *n, const struct pol_node *pn);
bool node_is(const struct node *n, const struct pol_node *pn);
/* With that address, listed or not, or NULL; of several that with the port. The same reference. */
struct node *nodes_find_address(struct nodes *n, const struct addrport *a);
/* By name among the listed ones, or NULL. */
struct node *nodes_find_name(struct nodes *n, const char *name);

/*
 * All nodes, those in the policy first, each with a reference for the caller; returns how many (at
 * most max).
 */
size_t nodes_all(struct nodes *n, struct node **dst, size_t max);
/* The same of those of a cluster. */
size_t nodes_of_cluster(struct nodes *n, uint32_t cluster, struct node **dst, size_t max);

/*
 * The cluster that a client means which has dialled n, or was placed there: the one that policy
 * names. Where it names none, a node is on its own for clients that dial the nodes themselves
 * (intercept), and one of all those without a name for others.
 */
uint32_t node_cluster(const struct node *n, bool intercept);
/* May a client that means that cluster be on n? */
bool node_in_cluster(const struct node *n, uint32_t cluster);
/* May a client that is on a, or means to be, be on b? */
bool node_same_cluster(const struct node *a, const struct node *b, bool intercept);

struct node *node_ref(struct node *n);
void node_unref(struct node **n);

/* May it take clients that have nothing live anywhere? */
bool node_takes_new(const struct node *n);
/* Is there such a node in that cluster? */
bool nodes_take_new(struct nodes *n, uint32_t cluster);
/* May it take a further connection of a client that is live on it? */
bool node_takes_more(const struct node *n);
/* The same of one that may be live on it, as far as can be seen without the map. */
bool node_takes_blindly(const struct node *n);
/* Do its clients go elsewhere, if they can? */
bool node_lets_go(const struct node *n);
/* It is not probed. */
bool node_in_maint(const struct node *n);
/*
 * Would its cluster have a node for new clients without this one? intercept: also for those that
 * dial the nodes themselves.
 */
bool nodes_take_without(struct nodes *n, const struct node *without, bool intercept);
/* The weight as placement sees it now: from a tenth to all of it during slow start. */
double node_weight(const struct node *n, unsigned slow_start_ms, uint64_t now_ms);

/* unknown, up, down, hung, loop, drain, maint, removed: one word for people. */
const char *node_state(const struct node *n);
/*
 * Since when it has been that one, or an unknown node what it proved to be. As far as somebody has
 * looked: whoever watches the nodes does so again and again. Main thread.
 */
uint64_t node_state_since(struct node *n, uint64_t now_ms);

/* Its agent has said so. Main thread. */
void node_agent_says(struct node *n, const struct agent_says *says);

/* A client of it was answered. Any thread, and cheap: it is called for every answer. */
static inline void
node_served(struct node *n)
{
	if (!atomic_load_explicit(&n->served, memory_order_relaxed))
		atomic_store_explicit(&n->served, true, memory_order_relaxed);
}

/* It has answered a logon, not a channel's bind. Any thread. */
void node_logon(struct node *n, bool let_in);

/* A probe with that ClientGuid goes to the node, and is over. Main thread. */
void node_probe_out(struct node *n, const struct guid *client_guid);
void node_probe_over(struct node *n);
/*
 * Is this the ClientGuid of a probe that is out? Then its node is one of our own listeners, and has
 * been marked as met. Any thread.
 */
bool nodes_meet_probe(struct nodes *n, const struct guid *client_guid);

/* Remembers what an answer to NEGOTIATE said; NULL: it was SMB1's. Main thread. */
void node_learn(struct node *n, const struct neg2_resp *r);
/* The Capabilities of that answer, 0 before there was one. Any thread. */
uint32_t node_capabilities(const struct node *n);
/*
 * A NEGOTIATE answer like those of a cluster's nodes, for the local answer to a multi-protocol
 * opening; plain defaults before any node has answered. blob is filled in, r->blob points to it.
 */
void nodes_answer(struct nodes *n, uint32_t cluster, struct neg2_resp *r,
    uint8_t blob[NODE_BLOB_MAX]);
/*
 * The newest dialect that one of those nodes has chosen; UINT16_MAX where it is not known of all of
 * them, or there is none.
 */
uint16_t nodes_dialect(struct nodes *n, uint32_t cluster);

#endif
