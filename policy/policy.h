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
#define POL_NODES_MAX 64
#define POL_WEIGHT_MAX 1000
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
enum pol_vc_reset { POL_VC_RESET_OFF, POL_VC_RESET_ADDRESS, POL_VC_RESET_IDENTITY };
enum pol_source { POL_SOURCE_OWN, POL_SOURCE_TRANSPARENT, POL_SOURCE_POOL };
enum pol_no_node { POL_NO_NODE_HOLD, POL_NO_NODE_RESET };
enum pol_nodestate { POL_NODE_ACTIVE, POL_NODE_DRAIN, POL_NODE_MAINT };

struct pol_node {
	char name[POL_NAME_MAX + 1];
	struct addrport address;
	unsigned weight;	/* 1..POL_WEIGHT_MAX */
	enum pol_nodestate state;
	int line;		/* of the file: its address */
	bool public;		/* that stands in a deny-file */
	size_t nothers;
	struct addr others[POL_NODE_OTHERS_MAX];	/* what intercepted clients may dial too */
};

/* One announced address. */
struct pol_iface {
	struct addr addr;
	uint64_t speed;		/* bits per second */
	bool rss;
	uint32_t ifindex;	/* never 0; given, or chosen so that no two entries share one */
};

/* What clients of one listener are told. */
struct pol_interfaces {
	char listener[POL_NAME_MAX + 1];
	enum pol_ifmode mode;
	size_t n;
	struct pol_iface *list;
};

/* Which logons are admitted. */
struct pol_auth {
	enum pol_auth_word ntlm;
	enum pol_auth_word guest;	/* guests and the anonymous */
	uint16_t min_dialect;		/* SMB2's number: 0x0202 .. 0x0311 */
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
	size_t nnodes;
	struct pol_node *nodes;
	size_t ninterfaces;
	struct pol_interfaces *interfaces;
	struct acl *addresses;		/* deny-file entries included */
	enum pol_smb1 smb1;
	enum pol_unkeyed unkeyed;
	enum pol_gmac gmac;
	enum pol_compression compression;
	struct pol_auth auth;
	enum pol_vcnumber vcnumber;
	enum pol_vc_reset vc_reset;
	struct acl *nat;		/* allow rules: addresses that several clients share */
	enum pol_source source;		/* whose address nodes see */
	int source_line;		/* where the file says so, for errors; 0: POL_SOURCE_OWN */
	size_t npool;
	struct addr *pool;		/* of POL_SOURCE_POOL */
	bool rebalance;			/* an intercepted client goes where any other would */
	unsigned pin_linger;		/* ms */
	enum pol_no_node no_node;	/* what becomes of clients that no node takes */
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

const struct pol_node *policy_node(const struct policy *p, const char *name);
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
