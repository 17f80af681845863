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

/* One load: the file, what becomes of it, and its errors. */
struct load {
	struct conffile f;
	const char *path;
	struct policy *p;
	struct errlist e;		/* of this file */
	struct errlist *others;		/* of the files that it names */
};

static void
out_of_memory(struct load *l, int line)
{
	errlist_add(&l->e, l->path, line, "out of memory");
}

/* The values of a section, defaults included, into the structure that it describes. */
static void
load_fields(struct load *l, cfg_t *sec, void *base)
{
	if (conffile_fill(&l->f, sec, l->path, base) == -1)
		out_of_memory(l, sec->line);
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
		errlist_add(&l->e, l->path, line, "%s: %s is the unspecified address", what, text);
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
			errlist_add(&l->e, l->path, line, "node \"%s\" has the same address as node \"%s\"",
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
				    "node \"%s\": %s is also an address of node \"%s\"", cfg_title(sec), text,
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
			errlist_add(&l->e, l->path, line, "%s: other-addresses has more than %d entries", what,
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
		    "node \"%s\": " CONFFILE_NAME_RULE, name);
	if (conffile_lacks(&l->f, sec, "address"))
		errlist_add(&l->e, l->path, conffile_begin(sec), "node \"%s\" has no address", name);
	if (address == NULL || addrport_parse(&n->address, address, 445) == -1)
		return;
	check_node_address(l, sec, n, conffile_line(&l->f, sec, "address", 0));
	snprintf(n->name, sizeof(n->name), "%s", name);
	load_others(l, sec, n);
	load_fields(l, sec, n);
	l->p->nnodes++;
}

static void
load_nodes(struct load *l)
{
	unsigned n = cfg_size(l->f.cfg, "node");

	if (conffile_lacks(&l->f, l->f.cfg, "node"))
		errlist_add(&l->e, l->path, l->f.cfg->line, "no node: there must be at least one node \"NAME\" { address = ... }");
	if (n > POL_NODES_MAX) {
		errlist_add(&l->e, l->path,
		    conffile_begin(cfg_getnsec(l->f.cfg, "node", POL_NODES_MAX)),
		    "too many nodes: %u, at most %u are allowed", n, POL_NODES_MAX);
		return;
	}
	l->p->nodes = calloc(n + 1, sizeof(struct pol_node));
	if (l->p->nodes == NULL) {
		out_of_memory(l, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		load_node(l, cfg_getnsec(l->f.cfg, "node", i));
	for (unsigned i = 0; i < n; i++)
		check_others(l, cfg_getnsec(l->f.cfg, "node", i));
}

static void
load_rules(struct load *l, cfg_t *sec, const char *name, struct acl *to, bool deny)
{
	for (unsigned i = 0; i < cfg_size(sec, name); i++) {
		struct prefix p;

		if (prefix_parse(&p, cfg_getnstr(sec, name, i)) == 0 &&
		    acl_add(to, &p, deny) == -1) {
			int line = conffile_line(&l->f, sec, name, i);

			if (to->n < ACL_RULES_MAX)
				out_of_memory(l, line);
			else
				errlist_add(&l->e, l->path, line,
				    "%s: too many address rules: at most %d are allowed", name, ACL_RULES_MAX);
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
		int line = conffile_line(&l->f, sec, "deny-file", i);
		char *path;

		if (text[0] == '\0')
			continue;
		path = conffile_path(l->path, text);
		if (path == NULL)
			out_of_memory(l, line);
		else
			denyfile_load(l->p->addresses, path, l->path, line, &l->e, l->others);
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
			errlist_add(&l->e, l->path, line, "address \"%s\" is listed twice", text);
	load_fields(l, sec, f);
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
		errlist_add(&l->e, l->path, conffile_begin(sec), "interfaces \"%s\": " CONFFILE_NAME_RULE,
		    name);
	snprintf(ifs->listener, sizeof(ifs->listener), "%s", name);
	load_fields(l, sec, ifs);
	if (n > POL_IFACES_MAX) {
		errlist_add(&l->e, l->path, conffile_begin(cfg_getnsec(sec, "address", POL_IFACES_MAX)),
		    "interfaces \"%s\": too many addresses: %u, at most %u are allowed", name, n, POL_IFACES_MAX);
		return;
	}
	ifs->list = calloc(n + 1, sizeof(struct pol_iface));
	if (ifs->list == NULL) {
		out_of_memory(l, conffile_begin(sec));
		return;
	}
	for (unsigned i = 0; i < n; i++)
		load_iface(l, ifs, cfg_getnsec(sec, "address", i));
	number_ifaces(ifs);
}

static void
load_interfaces(struct load *l)
{
	unsigned n = cfg_size(l->f.cfg, "interfaces");

	l->p->interfaces = calloc(n + 1, sizeof(struct pol_interfaces));
	if (l->p->interfaces == NULL) {
		out_of_memory(l, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		load_interfaces_of(l, cfg_getnsec(l->f.cfg, "interfaces", i));
}

/* Whose address the nodes see. */
static void
load_source(struct load *l)
{
	cfg_t *sec = l->f.cfg;
	unsigned n = cfg_size(sec, "source-pool");

	if (l->p->source != POL_SOURCE_OWN)
		l->p->source_line = conffile_line(&l->f, sec, "source", 0);
	if (n > POL_POOL_MAX) {
		errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "source-pool", POL_POOL_MAX),
		    "source-pool: too many addresses: %u, at most %d are allowed", n, POL_POOL_MAX);
		return;
	}
	if (l->p->source == POL_SOURCE_POOL && conffile_lacks(&l->f, sec, "source-pool"))
		errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "source", 0),
		    "source = pool needs a source-pool");
	l->p->pool = calloc(n + 1, sizeof(struct addr));
	if (l->p->pool == NULL) {
		out_of_memory(l, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		struct addr *a = &l->p->pool[l->p->npool];
		const char *text = cfg_getnstr(sec, "source-pool", i);

		if (addr_parse(a, text) == -1)
			continue;
		check_unicast(l, a, conffile_line(&l->f, sec, "source-pool", i), "source-pool", text);
		l->p->npool++;
	}
}

/* The options of the whole file, as libconfuse wants them. */
struct grammar {
	struct conffile_section node, addresses, address, interfaces, auth, health, limits, tcp, root;
};

static void
grammar_init(struct grammar *g)
{
	const cfg_flag_t several = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
	const cfg_opt_t in_interfaces[] = {
		CFG_SEC("address", g->address.opts, several),
		CFG_END(),
	};
	const cfg_opt_t in_root[] = {
		CFG_SEC("node", g->node.opts, several),
		CFG_SEC("addresses", g->addresses.opts, CFGF_NONE),
		CFG_SEC("interfaces", g->interfaces.opts, several),
		CFG_SEC("auth", g->auth.opts, CFGF_NONE),
		CFG_SEC("health", g->health.opts, CFGF_NONE),
		CFG_SEC("limits", g->limits.opts, CFGF_NONE),
		CFG_SEC("tcp", g->tcp.opts, CFGF_NONE),
		CFG_END(),
	};

	conffile_section(&g->node, policy_settings, "node", NULL);
	conffile_section(&g->addresses, policy_settings, "addresses", NULL);
	conffile_section(&g->address, policy_settings, "address", NULL);
	conffile_section(&g->interfaces, policy_settings, "interfaces", in_interfaces);
	conffile_section(&g->auth, policy_settings, "auth", NULL);
	conffile_section(&g->health, policy_settings, "health", NULL);
	conffile_section(&g->limits, policy_settings, "limits", NULL);
	conffile_section(&g->tcp, policy_settings, "tcp", NULL);
	conffile_section(&g->root, policy_settings, "root", in_root);
}

static void
load_all(struct load *l)
{
	for (const char *const *name = policy_sections; *name != NULL; name++)
		load_fields(l, strcmp(*name, "root") == 0 ? l->f.cfg : cfg_getsec(l->f.cfg, *name),
		    l->p);
	load_nodes(l);
	load_addresses(l);
	load_interfaces(l);
	load_rules(l, l->f.cfg, "nat", l->p->nat, false);
	load_source(l);
}

struct policy *
schema_load(const char *path, struct errlist *e)
{
	struct errlist others = { .n = 0 };
	struct load l = { .path = path, .others = &others };
	struct grammar g;

	grammar_init(&g);
	if (conffile_parse(&l.f, path, g.root.opts, policy_settings, &l.e) == 0) {
		l.p = policy_new();
		if (l.p == NULL)
			out_of_memory(&l, 0);
		else
			load_all(&l);
	}
	conffile_fini(&l.f);
	if (l.e.total + others.total > 0)
		policy_unref(&l.p);
	errlist_sort(&l.e, 0);
	errlist_take(e, &l.e);
	errlist_take(e, &others);
	return l.p;
}
