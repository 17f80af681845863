/* node.h: the running side of a cluster node: state, load, what its NEGOTIATE answer said */
#ifndef NODES_NODE_H
#define NODES_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/guid.h"
#include "smb/neg2.h"
#include "state/state.h"

struct pol_node;
struct policy;

/* Longest security blob that is remembered of a node's answer; real ones are about 100 bytes. */
#define NODE_BLOB_MAX 1024

enum node_health {
	/* no probe has told yet: taken for up, a failed connection tells soon */
	NODE_UNKNOWN,
	NODE_UP,
	/*
	 * In either state nothing new is placed there, and live connections stay: see
	 * proxy/watch.h.
	 */
	NODE_DOWN,		/* cannot be reached */
	NODE_HUNG,		/* accepts and does not answer */
	NODE_LOOP,		/* is one of smbgate's own listeners: never used */
};

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

	_Atomic unsigned refs;		/* connections and the table */
	_Atomic unsigned connections;
	_Atomic unsigned weight;
	_Atomic unsigned health;	/* enum node_health */
	_Atomic bool listed;		/* in the policy in force */
	_Atomic bool maint;		/* policy says so */
	_Atomic bool drain_policy;	/* policy says so */
	_Atomic bool drain;		/* the operator says so */
	_Atomic bool unreached;		/* the last probe failed for this machine's own trouble */
	_Atomic bool held_down;		/* flaps: stays down until its hold is over */
	_Atomic uint64_t up_since_ms;	/* came back then (slow start), 0 = from the start */
	_Atomic uint64_t changed_ms;	/* of the last change of health */
	_Atomic bool served;		/* a client was answered since the last probe */
	_Atomic bool met;		/* the probe that is out came in at a listener of ours */
	_Atomic uint64_t logon_timeouts;	/* logons that it left without an answer */
	_Atomic unsigned logons_lost;	/* of those, in a row, up to now */
	_Atomic uint64_t logon_hold_ms;	/* so new clients go elsewhere until then; 0 = no */
	_Atomic uint64_t suspect_ms;	/* a connection failed then: probe soon; 0 = no */
	_Atomic uint64_t answered_ms;	/* a probe, the last time; 0 = never. See nodes/doubt.h */
	_Atomic uint64_t doubt_ms;	/* no probe was answered since then; 0 = no doubt */
	/* and clients would be served elsewhere since then; 0 = no */
	_Atomic uint64_t way_out_ms;
	_Atomic uint64_t trusted_ms;	/* the last doubt was over then; 0 = there was none */
	/* a connection was found dead, and no probe answered since */
	_Atomic bool gone;
	_Atomic uint64_t probes, probe_failures;
	_Atomic uint64_t probe_us;	/* the last answer took so long */

	struct node *next;		/* the table's lock */
	struct nodes *table;
	_Atomic uint32_t capabilities;	/* of its NEGOTIATE answer, read without the lock */
	/* a probe with that ClientGuid is out; under the table's lock */
	bool probing;
	struct guid probe;
	bool answered;			/* there is one; the rest of it, under the table's lock: */
	struct neg2_resp answer;	/* without what depends on the dialect, and times */
	uint8_t blob[NODE_BLOB_MAX];
};

struct nodes;

struct nodes *nodes_new(void);
void nodes_free(struct nodes **n);

/* Makes the table say what the policy says; nodes that it no longer has drain. Main thread. */
void nodes_apply(struct nodes *n, const struct policy *p, uint64_t now_ms);

/* Forgets nodes that are not listed and have no connection. Main thread. */
void nodes_sweep(struct nodes *n);

/* By identity, or NULL. The caller owns a reference: node_unref(). */
struct node *nodes_find(struct nodes *n, const char *id);
/* What that node of a policy is while it runs, or NULL. The same reference. */
struct node *nodes_find_policy(struct nodes *n, const struct pol_node *pn);
bool node_is(const struct node *n, const struct pol_node *pn);
/* By name among the listed ones, or NULL. */
struct node *nodes_find_name(struct nodes *n, const char *name);

/* All nodes, each with a reference for the caller; returns how many (at most max). */
size_t nodes_all(struct nodes *n, struct node **dst, size_t max);

struct node *node_ref(struct node *n);
void node_unref(struct node **n);

/* May it take clients that have nothing live anywhere? */
bool node_takes_new(const struct node *n);
/* May it take a further connection of a client that is live on it? */
bool node_takes_more(const struct node *n);
/* The weight as placement sees it now: from a tenth to all of it during slow start. */
double node_weight(const struct node *n, unsigned slow_start_ms, uint64_t now_ms);

/* unknown, up, down, hung, loop, drain, maint, removed: one word for people. */
const char *node_state(const struct node *n);

/* A client of it was answered. Any thread, and cheap: it is called for every answer. */
static inline void
node_served(struct node *n)
{
	if (!atomic_load_explicit(&n->served, memory_order_relaxed))
		atomic_store_explicit(&n->served, true, memory_order_relaxed);
}

/* A probe with that ClientGuid goes to the node, and is over. Main thread. */
void node_probe_out(struct node *n, const struct guid *client_guid);
void node_probe_over(struct node *n);
/*
 * Is this the ClientGuid of a probe that is out? Then its node is one of our own listeners, and has
 * been marked as met. Any thread.
 */
bool nodes_meet_probe(struct nodes *n, const struct guid *client_guid);

/* Remembers what an answer to NEGOTIATE said. Main thread. */
void node_learn(struct node *n, const struct neg2_resp *r);
/* The Capabilities of that answer, 0 before there was one. Any thread. */
uint32_t node_capabilities(const struct node *n);
/*
 * A NEGOTIATE answer like those of the nodes, for the local answer to a multi-protocol opening;
 * plain defaults before any node has answered. blob is filled in, r->blob points to it.
 */
void nodes_answer(struct nodes *n, struct neg2_resp *r, uint8_t blob[NODE_BLOB_MAX]);

#endif
