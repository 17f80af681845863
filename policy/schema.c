/* schema.c: policy.conf to a new snapshot, or to a list of errors with file:line */
#include "config.h"

#include "policy/schema.h"

#include "policy/acl.h"
#include "policy/conffile.h"
#include "policy/denyfile.h"
#include "policy/errlist.h"
#include "policy/policy.h"

#include <confuse.h>
#include <stdlib.h>
#include <string.h>

static const char *const smb1_words[] = { "refuse", "allow", NULL };
static const char *const unkeyed_words[] = { "pass", "refuse", NULL };
static const char *const gmac_words[] = { "pass", "refuse", "resign", NULL };
static const char *const ifmode_words[] = { "announce", "filter", "pass", NULL };
static const char *const state_words[] = { "active", "drain", "maint", NULL };

#define DAY 86400000ull
/* LinkSpeed has 64 bits, but nobody has an exabit. */
#define SPEED_MAX 1000000000000000ull

/* What an option may say. Its default stands where it is used, below. */
static const struct setting settings[] = {
	{ "root", "smb1", SETTING_WORD, 0, 0, smb1_words },
	{ "root", "unkeyed", SETTING_WORD, 0, 0, unkeyed_words },
	{ "root", "gmac", SETTING_WORD, 0, 0, gmac_words },
	{ "root", "pin-linger", SETTING_DURATION, 0, DAY, NULL },
	{ "node", "address", SETTING_ADDRPORT, 0, 0, NULL },
	{ "node", "weight", SETTING_NUMBER, 1, POL_WEIGHT_MAX, NULL },
	{ "node", "state", SETTING_WORD, 0, 0, state_words },
	{ "addresses", "allow", SETTING_PREFIX, 0, 0, NULL },
	{ "addresses", "deny", SETTING_PREFIX, 0, 0, NULL },
	{ "addresses", "deny-file", SETTING_TEXT, 0, 0, NULL },
	{ "interfaces", "mode", SETTING_WORD, 0, 0, ifmode_words },
	{ "address", "speed", SETTING_SPEED, 1, SPEED_MAX, NULL },
	{ "address", "rss", SETTING_BOOL, 0, 0, NULL },
	{ "address", "ifindex", SETTING_NUMBER, 1, UINT32_MAX, NULL },
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
	{ "tcp", "keepalive-idle", SETTING_DURATION, 0, DAY, NULL },
	{ "tcp", "keepalive-interval", SETTING_DURATION, 1000, DAY, NULL },
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
	const char *path;
	cfg_t *cfg;
	struct policy *p;
	struct errlist *e;
};

static unsigned
uint_of(cfg_t *sec, const char *name, unsigned dflt)
{
	return (unsigned)conffile_uint(sec, name, settings, dflt);
}

static void
copy_name(char dst[POL_NAME_MAX + 1], const char *name)
{
	size_t n = strlen(name);

	memcpy(dst, name, n < POL_NAME_MAX ? n : POL_NAME_MAX);
}

static void
load_node(struct load *l, cfg_t *sec)
{
	struct pol_node *n = &l->p->nodes[l->p->nnodes];
	const char *name = cfg_title(sec), *address = cfg_getstr(sec, "address");

	if (!conffile_name(name)) {
		errlist_add(l->e, l->path, sec->line,
		    "node \"%s\": a name has 1 to 63 of A-Z a-z 0-9 . _ -", name);
		return;
	}
	if (address == NULL) {
		errlist_add(l->e, l->path, sec->line, "node \"%s\" has no address", name);
		return;
	}
	if (addrport_parse(&n->address, address, 445) == -1)
		return;
	if (addr_is_unspecified(&n->address.addr))
		errlist_add(l->e, l->path, sec->line, "node \"%s\": %s is nobody's address", name,
		    address);
	for (size_t i = 0; i < l->p->nnodes; i++)
		if (addr_equal(&l->p->nodes[i].address.addr, &n->address.addr) &&
		    l->p->nodes[i].address.port == n->address.port)
			errlist_add(l->e, l->path, sec->line,
			    "node \"%s\" has the address of node \"%s\"", name, l->p->nodes[i].name);
	copy_name(n->name, name);
	n->weight = uint_of(sec, "weight", 1);
	n->state = (enum pol_nodestate)uint_of(sec, "state", POL_NODE_ACTIVE);
	l->p->nnodes++;
}

static void
load_nodes(struct load *l)
{
	unsigned n = cfg_size(l->cfg, "node");

	if (n == 0) {
		errlist_add(l->e, l->path, l->cfg->line, "there is no node");
		return;
	}
	if (n > POL_NODES_MAX) {
		errlist_add(l->e, l->path, l->cfg->line, "%u nodes, more than %u", n, POL_NODES_MAX);
		return;
	}
	l->p->nodes = calloc(n, sizeof(struct pol_node));
	for (unsigned i = 0; l->p->nodes != NULL && i < n; i++)
		load_node(l, cfg_getnsec(l->cfg, "node", i));
}

static void
load_rules(struct load *l, cfg_t *sec, const char *name, bool deny)
{
	for (unsigned i = 0; i < cfg_size(sec, name); i++) {
		struct prefix p;

		if (prefix_parse(&p, cfg_getnstr(sec, name, i)) == 0 &&
		    acl_add(l->p->addresses, &p, deny) == -1)
			errlist_add(l->e, l->path, sec->line, "out of memory");
	}
}

static void
load_addresses(struct load *l)
{
	cfg_t *sec = cfg_getsec(l->cfg, "addresses");

	load_rules(l, sec, "allow", false);
	load_rules(l, sec, "deny", true);
	for (unsigned i = 0; i < cfg_size(sec, "deny-file"); i++) {
		char *path = conffile_path(l->path, cfg_getnstr(sec, "deny-file", i));

		if (path != NULL)
			denyfile_load(l->p->addresses, path, l->path, sec->line, l->e);
		free(path);
	}
}

/* Is it an address that a client could dial? */
static const char *
unannounceable(const struct addr *a)
{
	if (addr_is_unspecified(a))
		return "is nobody's address";
	if (addr_is_linklocal(a))
		return "is link-local: it means another host to every client";
	if (addr_is_v4(a) ? (a->b[12] & 0xf0) == 0xe0 : a->b[0] == 0xff)
		return "is a multicast address";
	return NULL;
}

static void
load_iface(struct load *l, struct pol_interfaces *ifs, cfg_t *sec)
{
	struct pol_iface *f = &ifs->list[ifs->n];
	const char *text = cfg_title(sec), *why;

	if (addr_parse(&f->addr, text) == -1) {
		errlist_add(l->e, l->path, sec->line, "address \"%s\" is not an IPv4 or IPv6 address",
		    text);
		return;
	}
	why = unannounceable(&f->addr);
	if (why != NULL)
		errlist_add(l->e, l->path, sec->line, "address \"%s\" %s", text, why);
	for (size_t i = 0; i < ifs->n; i++)
		if (addr_equal(&ifs->list[i].addr, &f->addr))
			errlist_add(l->e, l->path, sec->line, "address \"%s\" stands here twice", text);
	f->speed = conffile_uint(sec, "speed", settings, 1000000000);
	f->rss = uint_of(sec, "rss", 0) != 0;
	f->ifindex = uint_of(sec, "ifindex", 0);
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
load_interfaces(struct load *l)
{
	unsigned n = cfg_size(l->cfg, "interfaces");

	l->p->interfaces = calloc(n + 1, sizeof(struct pol_interfaces));
	for (unsigned i = 0; l->p->interfaces != NULL && i < n; i++) {
		cfg_t *sec = cfg_getnsec(l->cfg, "interfaces", i);
		struct pol_interfaces *ifs = &l->p->interfaces[l->p->ninterfaces];
		unsigned k = cfg_size(sec, "address");

		if (!conffile_name(cfg_title(sec))) {
			errlist_add(l->e, l->path, sec->line, "interfaces \"%s\": not a listener's name",
			    cfg_title(sec));
			continue;
		}
		if (k > POL_IFACES_MAX) {
			errlist_add(l->e, l->path, sec->line, "%u addresses, more than %u", k,
			    POL_IFACES_MAX);
			continue;
		}
		copy_name(ifs->listener, cfg_title(sec));
		ifs->mode = (enum pol_ifmode)uint_of(sec, "mode", POL_IF_ANNOUNCE);
		if (k > 0 && ifs->mode != POL_IF_ANNOUNCE)
			errlist_add(l->e, l->path, sec->line,
			    "interfaces \"%s\": addresses are announced only with mode = announce",
			    cfg_title(sec));
		ifs->list = calloc(k + 1, sizeof(struct pol_iface));
		l->p->ninterfaces++;
		for (unsigned j = 0; ifs->list != NULL && j < k; j++)
			load_iface(l, ifs, cfg_getnsec(sec, "address", j));
		number_ifaces(ifs);
	}
}

static void
load_scalars(struct load *l)
{
	struct policy *p = l->p;
	cfg_t *h = cfg_getsec(l->cfg, "health"), *m = cfg_getsec(l->cfg, "limits");
	cfg_t *t = cfg_getsec(l->cfg, "tcp");

	p->smb1 = (enum pol_smb1)uint_of(l->cfg, "smb1", POL_SMB1_REFUSE);
	p->unkeyed = (enum pol_unkeyed)uint_of(l->cfg, "unkeyed", POL_UNKEYED_PASS);
	p->gmac = (enum pol_gmac)uint_of(l->cfg, "gmac", POL_GMAC_PASS);
	p->pin_linger = uint_of(l->cfg, "pin-linger", 15 * 60000);
	p->health = (struct pol_health){
		.interval = uint_of(h, "interval", 2000),
		.timeout = uint_of(h, "timeout", 2000),
		.rise = uint_of(h, "rise", 2),
		.fall = uint_of(h, "fall", 3),
		.slow_start = uint_of(h, "slow-start", 30000),
		.flap_changes = uint_of(h, "flap-changes", 3),
		.flap_window = uint_of(h, "flap-window", 60000),
		.flap_hold = uint_of(h, "flap-hold", 60000),
		.hang = uint_of(h, "hang", 30000),
	};
	p->limits = (struct pol_limits){
		.first_frame = uint_of(m, "first-frame", 5000),
		.negotiate = uint_of(m, "negotiate", 10000),
		.logon = uint_of(m, "logon", 30000),
		.unauthenticated = uint_of(m, "unauthenticated", 16384),
		.unauthenticated_per_source = uint_of(m, "unauthenticated-per-source", 12288),
		.accept_rate = uint_of(m, "accept-rate", 1000),
		.accept_burst = uint_of(m, "accept-burst", 10000),
	};
	p->tcp = (struct pol_tcp){
		.keepalive_idle = uint_of(t, "keepalive-idle", 30000),
		.keepalive_interval = uint_of(t, "keepalive-interval", 10000),
		.keepalive_count = uint_of(t, "keepalive-count", 3),
		.client_timeout = uint_of(t, "client-timeout", 60000),
		.node_timeout = uint_of(t, "node-timeout", 10000),
		.connect_timeout = uint_of(t, "connect-timeout", 3000),
	};
}

struct policy *
schema_load(const char *path, struct errlist *e)
{
	cfg_opt_t node[] = { OPT("address"), OPT("weight"), OPT("state"), CFG_END() };
	cfg_opt_t addresses[] = { OPT_LIST("allow"), OPT_LIST("deny"), OPT_LIST("deny-file"), CFG_END() };
	cfg_opt_t address[] = { OPT("speed"), OPT("rss"), OPT("ifindex"), CFG_END() };
	cfg_opt_t interfaces[] = { OPT("mode"),
		CFG_SEC("address", address, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES), CFG_END() };
	cfg_opt_t health[] = { OPT("interval"), OPT("timeout"), OPT("rise"), OPT("fall"),
		OPT("slow-start"), OPT("flap-changes"), OPT("flap-window"), OPT("flap-hold"), OPT("hang"),
		CFG_END() };
	cfg_opt_t limits[] = { OPT("first-frame"), OPT("negotiate"), OPT("logon"),
		OPT("unauthenticated"), OPT("unauthenticated-per-source"), OPT("accept-rate"),
		OPT("accept-burst"), CFG_END() };
	cfg_opt_t tcp[] = { OPT("keepalive-idle"), OPT("keepalive-interval"), OPT("keepalive-count"),
		OPT("client-timeout"), OPT("node-timeout"), OPT("connect-timeout"), CFG_END() };
	cfg_opt_t opts[] = {
		CFG_SEC("node", node, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("addresses", addresses, CFGF_NONE),
		CFG_SEC("interfaces", interfaces, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("health", health, CFGF_NONE),
		CFG_SEC("limits", limits, CFGF_NONE),
		CFG_SEC("tcp", tcp, CFGF_NONE),
		OPT("smb1"), OPT("unkeyed"), OPT("gmac"), OPT("pin-linger"),
		CFG_END(),
	};
	size_t before = e->total, first = e->n;
	struct load l = { .path = path, .e = e };

	l.cfg = conffile_parse(path, opts, settings, e);
	if (l.cfg == NULL)
		return NULL;
	l.p = policy_new();
	if (l.p == NULL) {
		errlist_add(e, path, 0, "out of memory");
	} else {
		load_nodes(&l);
		load_addresses(&l);
		load_interfaces(&l);
		load_scalars(&l);
	}
	cfg_free(l.cfg);
	if (e->total > before) {
		errlist_sort(e, first);
		policy_unref(&l.p);
	}
	return l.p;
}
