/* schema.c: policy.conf to a new snapshot, or to a list of errors with file:line */
#include "config.h"

#include "policy/schema.h"

#include "policy/acl.h"
#include "policy/conffile.h"
#include "policy/denyfile.h"
#include "policy/errlist.h"
#include "policy/policy.h"

#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const smb1_words[] = { "refuse", "allow", NULL };
static const char *const unkeyed_words[] = { "pass", "refuse", NULL };
static const char *const gmac_words[] = { "pass", "refuse", "resign", NULL };
static const char *const compression_words[] = { "refuse", "pass", NULL };
static const char *const auth_words[] = { "allow", "refuse", NULL };
static const char *const dialect_words[] = { "2.0.2", "2.1", "3.0", "3.0.2", "3.1.1", NULL };
/* Of the words above, [MS-SMB2] 2.2.3. */
static const uint16_t dialects[] = { 0x0202, 0x0210, 0x0300, 0x0302, 0x0311 };
static const char *const vcnumber_words[] = { "renumber", "pass", NULL };
static const char *const vc_reset_words[] = { "off", "address", "identity", NULL };
static const char *const source_words[] = { "own", "transparent", "pool", NULL };
static const char *const ifmode_words[] = { "announce", "filter", "pass", NULL };
static const char *const state_words[] = { "active", "drain", "maint", NULL };

#define DAY 86400000ull
/* The kernel takes no more seconds for TCP_KEEPIDLE and TCP_KEEPINTVL. */
#define KEEPALIVE_MAX 32767000ull
/* LinkSpeed has 64 bits, but nobody has an exabit. */
#define SPEED_MAX 1000000000000000ull

/* What an option may say. Its default stands in policy_new(). */
static const struct setting settings[] = {
	{ "root", "smb1", SETTING_WORD, 0, 0, smb1_words },
	{ "root", "unkeyed", SETTING_WORD, 0, 0, unkeyed_words },
	{ "root", "gmac", SETTING_WORD, 0, 0, gmac_words },
	{ "root", "compression", SETTING_WORD, 0, 0, compression_words },
	{ "root", "vcnumber", SETTING_WORD, 0, 0, vcnumber_words },
	{ "root", "vc-reset", SETTING_WORD, 0, 0, vc_reset_words },
	{ "root", "nat", SETTING_PREFIX, 0, 0, NULL },
	{ "root", "source", SETTING_WORD, 0, 0, source_words },
	{ "root", "source-pool", SETTING_ADDR, 0, 0, NULL },
	{ "root", "rebalance", SETTING_BOOL, 0, 0, NULL },
	{ "root", "pin-linger", SETTING_DURATION, 0, DAY, NULL },
	{ "node", "address", SETTING_ADDRPORT, 0, 0, NULL },
	{ "node", "other-addresses", SETTING_ADDR, 0, 0, NULL },
	{ "node", "weight", SETTING_NUMBER, 1, POL_WEIGHT_MAX, NULL },
	{ "node", "state", SETTING_WORD, 0, 0, state_words },
	{ "addresses", "allow", SETTING_PREFIX, 0, 0, NULL },
	{ "addresses", "deny", SETTING_PREFIX, 0, 0, NULL },
	{ "addresses", "deny-file", SETTING_TEXT, 0, 0, NULL },
	{ "interfaces", "mode", SETTING_WORD, 0, 0, ifmode_words },
	{ "address", "speed", SETTING_SPEED, 1, SPEED_MAX, NULL },
	{ "address", "rss", SETTING_BOOL, 0, 0, NULL },
	{ "address", "ifindex", SETTING_NUMBER, 1, UINT32_MAX, NULL },
	{ "auth", "ntlm", SETTING_WORD, 0, 0, auth_words },
	{ "auth", "guest", SETTING_WORD, 0, 0, auth_words },
	{ "auth", "min-dialect", SETTING_WORD, 0, 0, dialect_words },
	{ "health", "interval", SETTING_DURATION, 50, DAY, NULL },
	{ "health", "timeout", SETTING_DURATION, 50, DAY, NULL },
	{ "health", "rise", SETTING_NUMBER, 1, 100, NULL },
	{ "health", "fall", SETTING_NUMBER, 1, 100, NULL },
	{ "health", "slow-start", SETTING_DURATION, 0, DAY, NULL },
	{ "health", "flap-changes", SETTING_NUMBER, 0, 16, NULL },
	{ "health", "flap-window", SETTING_DURATION, 0, DAY, NULL },
	{ "health", "flap-hold", SETTING_DURATION, 0, DAY, NULL },
	{ "health", "hang", SETTING_DURATION, 1000, DAY, NULL },
	{ "limits", "first-frame", SETTING_DURATION, 100, DAY, NULL },
	{ "limits", "negotiate", SETTING_DURATION, 100, DAY, NULL },
	{ "limits", "logon", SETTING_DURATION, 100, DAY, NULL },
	{ "limits", "unauthenticated", SETTING_NUMBER, 1, 10000000, NULL },
	{ "limits", "unauthenticated-per-source", SETTING_NUMBER, 1, 10000000, NULL },
	{ "limits", "accept-rate", SETTING_NUMBER, 0, 1000000, NULL },
	{ "limits", "accept-burst", SETTING_NUMBER, 1, 1000000, NULL },
	{ "tcp", "keepalive-idle", SETTING_SECONDS, 0, KEEPALIVE_MAX, NULL },
	{ "tcp", "keepalive-interval", SETTING_SECONDS, 1000, KEEPALIVE_MAX, NULL },
	{ "tcp", "keepalive-count", SETTING_NUMBER, 1, 127, NULL },
	{ "tcp", "client-timeout", SETTING_DURATION, 0, DAY, NULL },
	{ "tcp", "node-timeout", SETTING_DURATION, 0, DAY, NULL },
	{ "tcp", "connect-timeout", SETTING_DURATION, 10, DAY, NULL },
	{ NULL, NULL, SETTING_TEXT, 0, 0, NULL },
};

#define OPT(name) CFG_STR_CB(name, NULL, CFGF_NODEFAULT, conffile_check)
#define OPT_LIST(name) CFG_STR_LIST_CB(name, NULL, CFGF_NODEFAULT, conffile_check)

/* One load: the file, what becomes of it, and its errors. */
struct load {
	struct conffile f;
	const char *path;
	struct policy *p;
	struct errlist e;		/* of this file */
	struct errlist *others;		/* of the files that it names */
};

static unsigned
uint_of(const struct load *l, cfg_t *sec, const char *name, unsigned dflt)
{
	return (unsigned)conffile_uint(&l->f, sec, name, dflt);
}

static bool
is_multicast(const struct addr *a)
{
	return addr_is_v4(a) ? (a->b[12] & 0xf0) == 0xe0 : a->b[0] == 0xff;
}

/* Somebody's address, and one only. text: the address as it is to be said. */
static void
check_unicast(struct load *l, const struct addr *a, int line, const char *what, const char *text)
{
	if (addr_is_unspecified(a))
		errlist_add(&l->e, l->path, line, "%s: %s is nobody's address", what, text);
	if (is_multicast(a))
		errlist_add(&l->e, l->path, line, "%s: %s is a multicast address", what, text);
}

static void
check_node_address(struct load *l, cfg_t *sec, const struct pol_node *n, int line)
{
	char text[ADDR_STRLEN], what[POL_NAME_MAX + 16];

	addrport_str(&n->address, text);
	snprintf(what, sizeof(what), "node \"%.*s\"", POL_NAME_MAX, cfg_title(sec));
	check_unicast(l, &n->address.addr, line, what, text);
	for (size_t i = 0; i < l->p->nnodes; i++)
		if (addr_equal(&l->p->nodes[i].address.addr, &n->address.addr) &&
		    l->p->nodes[i].address.port == n->address.port)
			errlist_add(&l->e, l->path, line, "node \"%s\" has the address of node \"%s\"",
			    cfg_title(sec), l->p->nodes[i].name);
}

/* Who dials it must mean one node. */
static void
check_others(struct load *l, cfg_t *sec)
{
	for (unsigned i = 0; i < cfg_size(sec, "other-addresses"); i++) {
		const char *text = cfg_getnstr(sec, "other-addresses", i);
		struct addr a;

		if (addr_parse(&a, text) == -1)
			continue;
		for (size_t k = 0; k < l->p->nnodes; k++)
			if (strcmp(l->p->nodes[k].name, cfg_title(sec)) != 0 &&
			    pol_node_has(&l->p->nodes[k], &a))
				errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "other-addresses", i),
				    "node \"%s\": %s is an address of node \"%s\" too", cfg_title(sec), text,
				    l->p->nodes[k].name);
	}
}

static void
load_others(struct load *l, cfg_t *sec, struct pol_node *n)
{
	for (unsigned i = 0; i < cfg_size(sec, "other-addresses"); i++) {
		const char *text = cfg_getnstr(sec, "other-addresses", i);
		int line = conffile_line(&l->f, sec, "other-addresses", i);
		char what[POL_NAME_MAX + 16];
		struct addr a;

		if (addr_parse(&a, text) == -1)
			continue;
		snprintf(what, sizeof(what), "node \"%.*s\"", POL_NAME_MAX, cfg_title(sec));
		check_unicast(l, &a, line, what, text);
		if (n->nothers == POL_NODE_OTHERS_MAX) {
			errlist_add(&l->e, l->path, line, "%s: there may be %d other addresses", what,
			    POL_NODE_OTHERS_MAX);
			return;
		}
		n->others[n->nothers++] = a;
	}
}

static void
load_node(struct load *l, cfg_t *sec)
{
	struct pol_node *n = &l->p->nodes[l->p->nnodes];
	const char *name = cfg_title(sec), *address = cfg_getstr(sec, "address");

	if (!conffile_name(name))
		errlist_add(&l->e, l->path, conffile_begin(sec),
		    "node \"%s\": a name has 1 to 63 of A-Z a-z 0-9 . _ -", name);
	if (conffile_lacks(&l->f, sec, "address"))
		errlist_add(&l->e, l->path, conffile_begin(sec), "node \"%s\" has no address", name);
	if (address == NULL || addrport_parse(&n->address, address, 445) == -1)
		return;
	check_node_address(l, sec, n, conffile_line(&l->f, sec, "address", 0));
	snprintf(n->name, sizeof(n->name), "%s", name);
	load_others(l, sec, n);
	n->weight = uint_of(l, sec, "weight", 1);
	n->state = (enum pol_nodestate)uint_of(l, sec, "state", POL_NODE_ACTIVE);
	l->p->nnodes++;
}

static void
load_nodes(struct load *l)
{
	unsigned n = cfg_size(l->f.cfg, "node");

	if (conffile_lacks(&l->f, l->f.cfg, "node"))
		errlist_add(&l->e, l->path, l->f.cfg->line, "there is no node");
	if (n > POL_NODES_MAX) {
		errlist_add(&l->e, l->path,
		    conffile_begin(cfg_getnsec(l->f.cfg, "node", POL_NODES_MAX)),
		    "%u nodes: there may be %u", n, POL_NODES_MAX);
		return;
	}
	l->p->nodes = calloc(n + 1, sizeof(struct pol_node));
	for (unsigned i = 0; l->p->nodes != NULL && i < n; i++)
		load_node(l, cfg_getnsec(l->f.cfg, "node", i));
	for (unsigned i = 0; l->p->nodes != NULL && i < n; i++)
		check_others(l, cfg_getnsec(l->f.cfg, "node", i));
}

static void
load_rules(struct load *l, cfg_t *sec, const char *name, struct acl *to, bool deny)
{
	for (unsigned i = 0; i < cfg_size(sec, name); i++) {
		struct prefix p;

		if (prefix_parse(&p, cfg_getnstr(sec, name, i)) == 0 &&
		    acl_add(to, &p, deny) == -1) {
			errlist_add(&l->e, l->path, conffile_line(&l->f, sec, name, i),
			    "%s: more than %d rules for addresses", name, ACL_RULES_MAX);
			return;
		}
	}
}

static void
load_addresses(struct load *l)
{
	cfg_t *sec = cfg_getsec(l->f.cfg, "addresses");

	load_rules(l, sec, "allow", l->p->addresses, false);
	load_rules(l, sec, "deny", l->p->addresses, true);
	for (unsigned i = 0; i < cfg_size(sec, "deny-file"); i++) {
		const char *text = cfg_getnstr(sec, "deny-file", i);
		char *path = text[0] == '\0' ? NULL : conffile_path(l->path, text);

		if (path != NULL)
			denyfile_load(l->p->addresses, path, l->path,
			    conffile_line(&l->f, sec, "deny-file", i), &l->e, l->others);
		free(path);
	}
}

static void
load_iface(struct load *l, struct pol_interfaces *ifs, cfg_t *sec)
{
	struct pol_iface *f = &ifs->list[ifs->n];
	const char *text = cfg_title(sec);
	int line = conffile_begin(sec);

	if (addr_parse(&f->addr, text) == -1) {
		errlist_add(&l->e, l->path, line, "address \"%s\" is not an IPv4 or IPv6 address", text);
		return;
	}
	if (is_multicast(&f->addr))
		errlist_add(&l->e, l->path, line, "address \"%s\" is a multicast address", text);
	/* The same text twice is told by the parser; this is for two spellings of one address. */
	for (size_t i = 0; i < ifs->n; i++)
		if (addr_equal(&ifs->list[i].addr, &f->addr))
			errlist_add(&l->e, l->path, line, "address \"%s\" stands here twice", text);
	f->speed = conffile_uint(&l->f, sec, "speed", 1000000000);
	f->rss = uint_of(l, sec, "rss", 0) != 0;
	f->ifindex = uint_of(l, sec, "ifindex", 0);
	ifs->n++;
}

/* Numbers for those that have none, that nobody else has: clients tell adapters apart by them. */
static void
number_ifaces(struct pol_interfaces *ifs)
{
	uint32_t next = 1;

	for (size_t i = 0; i < ifs->n; i++) {
		if (ifs->list[i].ifindex != 0)
			continue;
		for (size_t k = 0; k < ifs->n; k++) {
			if (ifs->list[k].ifindex == next) {
				next++;
				k = (size_t)-1;
			}
		}
		ifs->list[i].ifindex = next++;
	}
}

static void
load_interfaces_of(struct load *l, cfg_t *sec)
{
	struct pol_interfaces *ifs = &l->p->interfaces[l->p->ninterfaces++];
	const char *name = cfg_title(sec);
	unsigned n = cfg_size(sec, "address");

	if (!conffile_name(name))
		errlist_add(&l->e, l->path, conffile_begin(sec), "interfaces \"%s\": not a listener's name",
		    name);
	snprintf(ifs->listener, sizeof(ifs->listener), "%s", name);
	ifs->mode = (enum pol_ifmode)uint_of(l, sec, "mode", POL_IF_ANNOUNCE);
	if (n > POL_IFACES_MAX) {
		errlist_add(&l->e, l->path, conffile_begin(cfg_getnsec(sec, "address", POL_IFACES_MAX)),
		    "interfaces \"%s\": %u addresses: there may be %u", name, n, POL_IFACES_MAX);
		return;
	}
	ifs->list = calloc(n + 1, sizeof(struct pol_iface));
	for (unsigned i = 0; ifs->list != NULL && i < n; i++)
		load_iface(l, ifs, cfg_getnsec(sec, "address", i));
	number_ifaces(ifs);
}

static void
load_interfaces(struct load *l)
{
	unsigned n = cfg_size(l->f.cfg, "interfaces");

	l->p->interfaces = calloc(n + 1, sizeof(struct pol_interfaces));
	for (unsigned i = 0; l->p->interfaces != NULL && i < n; i++)
		load_interfaces_of(l, cfg_getnsec(l->f.cfg, "interfaces", i));
}

/* Whose address the nodes see. */
static void
load_source(struct load *l)
{
	cfg_t *sec = l->f.cfg;
	unsigned n = cfg_size(sec, "source-pool");

	l->p->source = (enum pol_source)uint_of(l, sec, "source", l->p->source);
	if (l->p->source != POL_SOURCE_OWN)
		l->p->source_line = conffile_line(&l->f, sec, "source", 0);
	if (n > POL_POOL_MAX) {
		errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "source-pool", POL_POOL_MAX),
		    "source-pool: %u addresses: there may be %d", n, POL_POOL_MAX);
		return;
	}
	if (l->p->source == POL_SOURCE_POOL && conffile_lacks(&l->f, sec, "source-pool"))
		errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "source", 0),
		    "source = pool: there is no source-pool");
	l->p->pool = calloc(n + 1, sizeof(struct addr));
	for (unsigned i = 0; l->p->pool != NULL && i < n; i++) {
		struct addr *a = &l->p->pool[l->p->npool];
		const char *text = cfg_getnstr(sec, "source-pool", i);

		if (addr_parse(a, text) == -1)
			continue;
		check_unicast(l, a, conffile_line(&l->f, sec, "source-pool", i), "source-pool", text);
		l->p->npool++;
	}
}

static void
load_scalars(struct load *l)
{
	struct pol_health *h = &l->p->health;
	struct pol_limits *m = &l->p->limits;
	struct pol_tcp *t = &l->p->tcp;
	cfg_t *sec = l->f.cfg;

	l->p->smb1 = (enum pol_smb1)uint_of(l, sec, "smb1", l->p->smb1);
	l->p->unkeyed = (enum pol_unkeyed)uint_of(l, sec, "unkeyed", l->p->unkeyed);
	l->p->gmac = (enum pol_gmac)uint_of(l, sec, "gmac", l->p->gmac);
	l->p->compression = (enum pol_compression)uint_of(l, sec, "compression", l->p->compression);
	l->p->vcnumber = (enum pol_vcnumber)uint_of(l, sec, "vcnumber", l->p->vcnumber);
	l->p->vc_reset = (enum pol_vc_reset)uint_of(l, sec, "vc-reset", l->p->vc_reset);
	l->p->rebalance = uint_of(l, sec, "rebalance", 0) != 0;
	l->p->pin_linger = uint_of(l, sec, "pin-linger", l->p->pin_linger);

	sec = cfg_getsec(l->f.cfg, "auth");
	l->p->auth.ntlm = (enum pol_auth_word)uint_of(l, sec, "ntlm", l->p->auth.ntlm);
	l->p->auth.guest = (enum pol_auth_word)uint_of(l, sec, "guest", l->p->auth.guest);
	l->p->auth.min_dialect = dialects[uint_of(l, sec, "min-dialect", 0)];

	sec = cfg_getsec(l->f.cfg, "health");
	h->interval = uint_of(l, sec, "interval", h->interval);
	h->timeout = uint_of(l, sec, "timeout", h->timeout);
	h->rise = uint_of(l, sec, "rise", h->rise);
	h->fall = uint_of(l, sec, "fall", h->fall);
	h->slow_start = uint_of(l, sec, "slow-start", h->slow_start);
	h->flap_changes = uint_of(l, sec, "flap-changes", h->flap_changes);
	h->flap_window = uint_of(l, sec, "flap-window", h->flap_window);
	h->flap_hold = uint_of(l, sec, "flap-hold", h->flap_hold);
	h->hang = uint_of(l, sec, "hang", h->hang);

	sec = cfg_getsec(l->f.cfg, "limits");
	m->first_frame = uint_of(l, sec, "first-frame", m->first_frame);
	m->negotiate = uint_of(l, sec, "negotiate", m->negotiate);
	m->logon = uint_of(l, sec, "logon", m->logon);
	m->unauthenticated = uint_of(l, sec, "unauthenticated", m->unauthenticated);
	m->unauthenticated_per_source =
	    uint_of(l, sec, "unauthenticated-per-source", m->unauthenticated_per_source);
	m->accept_rate = uint_of(l, sec, "accept-rate", m->accept_rate);
	m->accept_burst = uint_of(l, sec, "accept-burst", m->accept_burst);

	sec = cfg_getsec(l->f.cfg, "tcp");
	t->keepalive_idle = uint_of(l, sec, "keepalive-idle", t->keepalive_idle);
	t->keepalive_interval = uint_of(l, sec, "keepalive-interval", t->keepalive_interval);
	t->keepalive_count = uint_of(l, sec, "keepalive-count", t->keepalive_count);
	t->client_timeout = uint_of(l, sec, "client-timeout", t->client_timeout);
	t->node_timeout = uint_of(l, sec, "node-timeout", t->node_timeout);
	t->connect_timeout = uint_of(l, sec, "connect-timeout", t->connect_timeout);
}

struct policy *
schema_load(const char *path, struct errlist *e)
{
	cfg_opt_t none[] = { CFG_END() };
	cfg_opt_t node[] = { CONFFILE_BEGIN_OPT(none), OPT("address"), OPT_LIST("other-addresses"),
		OPT("weight"), OPT("state"), CFG_END() };
	cfg_opt_t addresses[] = { CONFFILE_BEGIN_OPT(none), OPT_LIST("allow"), OPT_LIST("deny"),
		OPT_LIST("deny-file"), CFG_END() };
	cfg_opt_t address[] = { CONFFILE_BEGIN_OPT(none), OPT("speed"), OPT("rss"), OPT("ifindex"),
		CFG_END() };
	cfg_opt_t interfaces[] = { CONFFILE_BEGIN_OPT(none), OPT("mode"),
		CFG_SEC("address", address, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES), CFG_END() };
	cfg_opt_t health[] = { OPT("interval"), OPT("timeout"), OPT("rise"), OPT("fall"),
		OPT("slow-start"), OPT("flap-changes"), OPT("flap-window"), OPT("flap-hold"), OPT("hang"),
		CFG_END() };
	cfg_opt_t limits[] = { OPT("first-frame"), OPT("negotiate"), OPT("logon"),
		OPT("unauthenticated"), OPT("unauthenticated-per-source"), OPT("accept-rate"),
		OPT("accept-burst"), CFG_END() };
	cfg_opt_t auth[] = { OPT("ntlm"), OPT("guest"), OPT("min-dialect"), CFG_END() };
	cfg_opt_t tcp[] = { OPT("keepalive-idle"), OPT("keepalive-interval"), OPT("keepalive-count"),
		OPT("client-timeout"), OPT("node-timeout"), OPT("connect-timeout"), CFG_END() };
	cfg_opt_t opts[] = {
		CFG_SEC("node", node, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("addresses", addresses, CFGF_NONE),
		CFG_SEC("interfaces", interfaces, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("auth", auth, CFGF_NONE),
		CFG_SEC("health", health, CFGF_NONE),
		CFG_SEC("limits", limits, CFGF_NONE),
		CFG_SEC("tcp", tcp, CFGF_NONE),
		OPT("smb1"), OPT("unkeyed"), OPT("gmac"), OPT("compression"), OPT("vcnumber"),
		OPT("vc-reset"), OPT_LIST("nat"), OPT("source"), OPT_LIST("source-pool"), OPT("rebalance"),
		OPT("pin-linger"),
		CFG_END(),
	};
	struct errlist others = { .n = 0 };
	struct load l = { .path = path, .others = &others };

	if (conffile_parse(&l.f, path, opts, settings, &l.e) == 0) {
		l.p = policy_new();
		if (l.p == NULL) {
			errlist_add(&l.e, path, 0, "out of memory");
		} else {
			load_nodes(&l);
			load_addresses(&l);
			load_interfaces(&l);
			load_scalars(&l);
			load_rules(&l, l.f.cfg, "nat", l.p->nat, false);
			load_source(&l);
		}
	}
	conffile_fini(&l.f);
	if (l.e.total + others.total > 0)
		policy_unref(&l.p);
	errlist_sort(&l.e, 0);
	errlist_take(e, &l.e);
	errlist_take(e, &others);
	return l.p;
}
