/* policy.h: the immutable, refcounted snapshot of policy.conf and its questions */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/setting.h"

/* Longest name of a node or listener, without NUL. */
#define POL_NAME_MAX 63
#define POL_NODES_MAX 256
#define POL_WEIGHT_MAX 1000
#define POL_AGENT_PORT 9446
/* Addresses of one interfaces section. */
#define POL_IFACES_MAX 64
/* Addresses of a node besides the one that is dialled. */
#define POL_NODE_OTHERS_MAX 16
#define POL_POOL_MAX 256

enum pol_smb1 { POL_SMB1_REFUSE, POL_SMB1_ALLOW };
enum pol_unkeyed { POL_UNKEYED_PASS, POL_UNKEYED_REFUSE };
enum pol_compression { POL_COMPRESSION_REFUSE, POL_COMPRESSION_PASS };
enum pol_auth_word { POL_AUTH_ALLOW, POL_AUTH_REFUSE };
enum pol_gmac { POL_GMAC_PASS, POL_GMAC_REFUSE, POL_GMAC_RESIGN };
enum pol_ifmode { POL_IF_ANNOUNCE, POL_IF_FILTER, POL_IF_PASS };
enum pol_vcnumber { POL_VCNUMBER_RENUMBER, POL_VCNUMBER_PASS };
enum pol_vc_reset { POL_VC_RESET_OFF, POL_VC_RESET_ADDRESS, POL_VC_RESET_IDENTITY,
	POL_VC_RESET_USER };
enum pol_source { POL_SOURCE_OWN, POL_SOURCE_TRANSPARENT, POL_SOURCE_POOL };
enum pol_no_node { POL_NO_NODE_HOLD, POL_NO_NODE_RESET };
enum pol_no_guid { POL_NO_GUID_CONNECTION, POL_NO_GUID_ADDRESS };
enum pol_nodestate { POL_NODE_ACTIVE, POL_NODE_DRAIN, POL_NODE_MAINT };

struct pol_node {
	char name[POL_NAME_MAX + 1];
	struct addrport address;
	unsigned weight;	/* 1..POL_WEIGHT_MAX */
	enum pol_nodestate state;
	struct addrport agent;	/* what says how the node is; port 0: nobody does */
	int line;		/* of its file: its address */
	bool in_file;		/* that is the node-file */
	bool public;		/* that stands in a deny-file */
	bool lacks_brackets;	/* that, or the agent's, ends in what was to be a port */
	size_t nothers;
	struct addr others[POL_NODE_OTHERS_MAX];	/* what intercepted clients may dial too */
	char cluster[POL_NAME_MAX + 1];	/* whose nodes stand in for each other; "": not said */
};

/* One announced address. */
struct pol_iface {
	struct addr addr;
	uint64_t speed;		/* bits per second */
	bool rss;
	uint32_t ifindex;	/* never 0; given, or chosen so that no two entries share one */
	bool elsewhere;		/* not one of this machine's: another proxy has it */
	int line;		/* of the file */
};

/* What clients of one listener are told. */
struct pol_interfaces {
	char listener[POL_NAME_MAX + 1];
	enum pol_ifmode mode;
	int line;
	int mode_line;		/* where it says the mode, or begins */
	size_t n;
	struct pol_iface *list;
};

/* Which logons are admitted. */
struct pol_auth {
	enum pol_auth_word ntlm;
	enum pol_auth_word guest;	/* guests and the anonymous */
	uint16_t min_dialect;		/* SMB2's number: 0x0202 .. 0x0311 */
};

/* What may differ from listener to listener. */
struct pol_listener {
	char name[POL_NAME_MAX + 1];	/* "": of all that have no section */
	int line;			/* of the file; 0: there is no section */
	enum pol_smb1 smb1;
	enum pol_source source;		/* whose address nodes see */
	int source_line;		/* where the file says so, for errors; 0: nowhere */
	enum pol_vc_reset vc_reset;
	struct pol_auth auth;
};

/* All times in milliseconds. */
struct pol_health {
	unsigned interval, timeout, slow_start, flap_window, flap_hold, hang, logon_hold;
	unsigned rise, fall, flap_changes, logon_fall;
};

struct pol_limits {
	unsigned first_frame, negotiate, logon;		/* absolute deadlines, ms */
	/* connections before logon, all and per source */
	unsigned unauthenticated;
	unsigned unauthenticated_per_source;
	unsigned connections_per_source;		/* with a logon or without */
	uint64_t unauthenticated_memory;		/* bytes, of all of them */
	/* per source and second; rate 0 = no limit */
	unsigned accept_rate, accept_burst;
};

struct pol_tcp {
	unsigned keepalive_idle, keepalive_interval;	/* ms, whole seconds */
	unsigned keepalive_count;
	unsigned client_timeout, node_timeout;		/* TCP_USER_TIMEOUT, ms */
	unsigned connect_timeout;			/* ms */
};

/*
 * One version of the rules. Built by schema_load(), never changed after; whoever needs it for
 * longer than a call holds a reference. Fields may be read directly; the questions below are the
 * rules that need more than a field.
 */
struct policy {
	unsigned refs;			/* atomic; by policy_ref() and policy_unref() alone */
	unsigned generation;		/* set by the owner of the current pointer */
	char *text;			/* of policy.conf, as it was read */
	size_t nnodes;
	struct pol_node *nodes;
	char *node_file;		/* its whole path; NULL: none */
	char *node_text;		/* as it was read */
	/* Of listeners that name none and do not intercept; see schema_nodes(). */
	char cluster[POL_NAME_MAX + 1];
	size_t ninterfaces;
	struct pol_interfaces *interfaces;
	struct acl *addresses;		/* deny-file entries included; a rule's file: */
	size_t ndeny_files;
	char **deny_files;		/* whole paths; the first is file 1, and 0 is policy.conf */
	struct pol_listener common;	/* ask policy_listener(): a listener may have its own */
	size_t nlisteners;
	struct pol_listener *listeners;
	enum pol_unkeyed unkeyed;
	enum pol_gmac gmac;
	enum pol_compression compression;
	enum pol_vcnumber vcnumber;
	struct acl *nat;		/* allow rules: addresses that several clients share */
	size_t npool;
	struct addr *pool;		/* of POL_SOURCE_POOL */
	int *pool_lines;		/* of each of them */
	bool rebalance;			/* an intercepted client goes where any other would */
	unsigned pin_linger;		/* ms */
	unsigned handover_drain;	/* ms */
	enum pol_no_node no_node;	/* what becomes of clients that no node takes */
	enum pol_no_guid no_guid;	/* what SMB1 and 2.0.2 clients are placed by */
	struct pol_health health;
	struct pol_limits limits;
	struct pol_tcp tcp;
};

/* An empty policy with the defaults of every setting and one reference; NULL when memory is out. */
struct policy *policy_new(void);
struct policy *policy_ref(struct policy *p);
/* Drops a reference; the last one frees. Clears the caller's pointer. */
void policy_unref(struct policy **p);

/* May clients use, and be told, this address of ours? */
bool policy_allows(const struct policy *p, const struct addr *a);

/* Is this source address one that several clients share? */
bool policy_is_nat(const struct policy *p, const struct addr *client);

/* The section of a listener, or NULL. */
const struct pol_interfaces *policy_interfaces(const struct policy *p, const char *listener);

/* The section of a listener, or what holds without one. */
const struct pol_listener *policy_listener_named(const struct policy *p, const char *name);

/* What holds for the clients of a listener: asked several times a connection, and few have any. */
static inline const struct pol_listener *
policy_listener(const struct policy *p, const char *name)
{
	return p->nlisteners == 0 ? &p->common : policy_listener_named(p, name);
}

/* Do some clients speak SMB1? */
bool policy_knows_smb1(const struct policy *p);
/* Where nodes are to see such addresses, the whole file first, or NULL. */
const struct pol_listener *policy_source(const struct policy *p, enum pol_source s);

const struct pol_node *policy_node(const struct policy *p, const char *name);
/* The file that has its line; path: of policy.conf. */
static inline const char *
policy_file_of(const struct policy *p, const struct pol_node *n, const char *path)
{
	return n->in_file ? p->node_file : path;
}
/* The first node of that cluster ("": of which none is said), or NULL. */
const struct pol_node *policy_first_of(const struct policy *p, const char *cluster);
/* Is it an address of that node, given or among the others? */
bool pol_node_has(const struct pol_node *n, const struct addr *a);
/* The node that this is an address of, or NULL; where several share it, the one with that port. */
const struct pol_node *policy_node_at(const struct policy *p, const struct addrport *a);

/* The words of the configuration for these values. */
const char *pol_ifmode_str(enum pol_ifmode m);
const char *pol_source_str(enum pol_source s);
const char *pol_nodestate_str(enum pol_nodestate s);

/* Every setting of policy.conf: settings.tbl.h. */
extern const struct setting policy_settings[];
/* The sections that are there once, whose fields are those of struct policy; NULL ends the list. */
extern const char *const policy_sections[];

#endif
