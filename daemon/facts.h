/* facts.h: what is seen of a running smbgate over HTTP, as plain values */
#ifndef DAEMON_FACTS_H
#define DAEMON_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/logrecord.h"
#include "daemon/process.h"
#include "daemon/takemsg.h"
#include "inspect/session_tally.h"
#include "nodes/agentline.h"
#include "nodes/traffic.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "state/fault.h"
#include "state/keeper.h"
#include "state/shared.h"
#include "state/state.h"
#include "stats/stats.h"

struct ctl_env;

/* More than the policy can have: nodes that left it may still have connections. */
#define FACTS_NODES_MAX (2 * POL_NODES_MAX)
#define FACTS_NEWEST_MAX 12

struct facts_node {
	char name[STATE_NODE_LEN];	/* no other's; of one that left the policy its id may be */
	char address[ADDR_STRLEN];
	const char *state;		/* of node_state() */
	bool takes_new, unreached, logons_held, held_down;
	unsigned weight, clients, connections;
	unsigned at_listener[CONF_LISTEN_MAX];
	uint64_t probes_ok, probes_no_way, probes_silent, probe_us;
	uint64_t logons, logons_failed;
	uint64_t since_s;		/* in that state */
	uint64_t sessions[SESSION_PROTECTIONS], channels[SESSION_PROTECTIONS];
	uint64_t files;			/* that are seen to be open */
	const char *agent;		/* what its agent says; NULL: it has none, or no opinion */
	char agent_why[AGENTLINE_WHY];	/* "": it gives no reason */
};

struct facts_listener {
	const char *name;
	uint64_t accepted, open;
	uint64_t placed;		/* of the open ones: they have their node */
};

/* smbgate-keyd; all false without a keytab. */
struct facts_keyd {
	bool wanted, up, readable;	/* the last: the keytab */
	uint64_t restarts;
};

/* The map of claims; all zero where it is in memory. */
struct facts_map {
	bool shared, connected, degraded;
	char server[ADDR_STRLEN + CONF_SOCKET_MAX];
	uint64_t latency_us, claims, exceptions;
	uint64_t errors[FAULT_COUNT];
	char trouble[FAULT_WORDS];	/* "": none */
	struct facts_wait {
		uint64_t all, us;	/* connections that waited, and how long all in all */
		uint64_t within[SHARED_WAITS];	/* of them, see shared_wait_us() */
	} wait;
	size_t npeers;
	struct peer peers[KEEPER_PEERS_MAX];
};

/* What the smbgate that was here before still serves; pid 0: nothing. */
struct facts_before {
	uint32_t pid;
	uint64_t connections, remaining_s;
	char why[TAKE_TEXT];
};

struct facts {
	const char *version;
	const char *host;
	int64_t now;			/* seconds of the epoch */
	uint64_t uptime_s;
	size_t nnodes, nlisteners, nnewest, ntraffic;
	struct facts_traffic {
		const char *name;	/* "": of connections without a node */
		uint64_t bytes[TRAFFIC_WAYS];
	} traffic[TRAFFIC_NAMES_MAX];
	struct facts_node nodes[FACTS_NODES_MAX];
	struct facts_listener listeners[CONF_LISTEN_MAX];
	struct session_newest newest[FACTS_NEWEST_MAX];	/* none without http-details */
	const char *newest_node[FACTS_NEWEST_MAX];
	uint64_t newest_age_s[FACTS_NEWEST_MAX];
	bool details;
	struct stats sum;
	uint64_t connections;
	unsigned generation;
	uint64_t policy_since_s;
	bool reload_ok;
	int64_t reload_time;		/* seconds of the epoch, whether it was good or not */
	struct facts_keyd keyd;
	struct facts_map map;
	struct facts_before before;
	uint64_t suppressed[LOG_EVENTS];	/* lines of the log that were left out */
	struct process_use process;
	const char *ready_why, *live_why;	/* NULL: it is */
};

/*
 * As it is now, without asking a worker: every count is there already, or is read in a table. For
 * the caller to free; NULL: memory is out. It borrows texts of env's.
 */
struct facts *facts_now(const struct ctl_env *env, const struct process *process);

/* Every counter of all threads. */
void facts_sum(const struct ctl_env *env, struct stats *sum);

#endif
