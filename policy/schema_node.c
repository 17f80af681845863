/* schema_node.c: the sections node "NAME" of policy.conf */
#include "config.h"

#include "policy/schema_node.h"

#include "policy/addrwords.h"
#include "policy/nodefile.h"
#include "policy/policy.h"
#include "policy/readfile.h"
#include "policy/schema_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Errors go to *at. */
static void
check_node_address(struct schema *l, const struct schema_at *at, const struct pol_node *n)
{
	char text[ADDR_STRLEN], what[POL_NAME_MAX + 16];

	addrport_str(&n->address, text);
	snprintf(what, sizeof(what), "node \"%.*s\"", POL_NAME_MAX, n->name);
	schema_unicast(at, &n->address.addr, what, text);
	for (size_t i = 0; i < l->p->nnodes; i++)
		if (addr_equal(&l->p->nodes[i].address.addr, &n->address.addr) &&
		    l->p->nodes[i].address.port == n->address.port)
			errlist_add(at->e, at->path, at->line,
			    "node \"%s\" has the same address as node \"%s\"", n->name,
			    l->p->nodes[i].name);
}

/* An intercepted client that dials such an address must mean one node. */
static void
check_others(struct schema *l, cfg_t *sec)
{
	for (unsigned i = 0; i < cfg_size(sec, "other-addresses"); i++) {
		const char *text = cfg_getnstr(sec, "other-addresses", i);
		struct addr a;

		if (addr_parse(&a, text) == -1)
			continue;
		for (size_t k = 0; k < l->p->nnodes; k++)
			if (strcmp(l->p->nodes[k].name, cfg_title(sec)) != 0 &&
			    pol_node_has(&l->p->nodes[k], &a))
				errlist_add(&l->e, l->path,
				    conffile_line(&l->f, sec, "other-addresses", i),
				    "node \"%s\": %s is also an address of node \"%s\"",
				    cfg_title(sec), text, l->p->nodes[k].name);
	}
}

static void
load_others(struct schema *l, cfg_t *sec, struct pol_node *n)
{
	for (unsigned i = 0; i < cfg_size(sec, "other-addresses"); i++) {
		const char *text = cfg_getnstr(sec, "other-addresses", i);
		int line = conffile_line(&l->f, sec, "other-addresses", i);
		const struct schema_at at = { .path = l->path, .e = &l->e, .line = line };
		char what[POL_NAME_MAX + 16];
		struct addr a;

		if (addr_parse(&a, text) == -1)
			continue;
		snprintf(what, sizeof(what), "node \"%.*s\"", POL_NAME_MAX, cfg_title(sec));
		schema_unicast(&at, &a, what, text);
		if (n->nothers == POL_NODE_OTHERS_MAX) {
			errlist_add(&l->e, l->path, line,
			    "%s: other-addresses has more than %d entries", what,
			    POL_NODE_OTHERS_MAX);
			return;
		}
		n->others[n->nothers++] = a;
	}
}

/* text NULL: it has none. */
static void
set_agent(struct pol_node *n, const char *text)
{
	if (text == NULL)
		return;
	if (addrport_parse(&n->agent, text, POL_AGENT_PORT) == -1)
		n->agent.port = 0;
	n->lacks_brackets |= addrwords_lacks_brackets(text);
}

static void
load_node(struct schema *l, cfg_t *sec)
{
	struct pol_node *n = &l->p->nodes[l->p->nnodes];
	const char *name = cfg_title(sec), *address = cfg_getstr(sec, "address");
	const char *cluster = cfg_getstr(sec, "cluster"), *agent = cfg_getstr(sec, "agent");
	struct schema_at at = { .path = l->path, .e = &l->e };

	if (!setting_name(name))
		errlist_add(&l->e, l->path, conffile_begin(sec),
		    "node \"%s\": " SETTING_NAME_RULE, name);
	if (conffile_lacks(&l->f, sec, "address"))
		errlist_add(&l->e, l->path, conffile_begin(sec), "node \"%s\" has no address",
		    name);
	if (address == NULL || addrport_parse(&n->address, address, 445) == -1)
		return;
	n->line = at.line = conffile_line(&l->f, sec, "address", 0);
	snprintf(n->name, sizeof(n->name), "%s", name);
	check_node_address(l, &at, n);
	snprintf(n->cluster, sizeof(n->cluster), "%s", cluster != NULL ? cluster : "");
	set_agent(n, agent);
	n->lacks_brackets |= addrwords_lacks_brackets(address);
	load_others(l, sec, n);
	schema_fields(l, sec, n);
	l->p->nnodes++;
}

/* The node-file while it is loaded. */
struct rows {
	struct schema *l;
	struct schema_at at;
};

/* The value of an option of a node, or NULL: it is not given, or wrong, which is an error. */
static const char *
row_value(const struct rows *rows, const struct noderow *r, enum noderow_field field)
{
	static const char *const names[NODEROW_FIELDS] = NODEROW_NAMES;
	const struct setting *s = setting_find(policy_settings, "node", names[field]);
	char why[512];

	if (r->value[field][0] == '\0')
		return NULL;
	if (s == NULL || !setting_complaint(s, r->value[field], why, sizeof(why)))
		return r->value[field];
	errlist_add(rows->at.e, rows->at.path, rows->at.line, "%s", why);
	return NULL;
}

/* The values of a row that have fields of their own; the defaults stay where it gives none. */
static void
row_fields(const struct rows *rows, const struct noderow *r, struct pol_node *n)
{
	static const enum noderow_field fields[] = { NODEROW_WEIGHT, NODEROW_STATE };
	static const char *const names[NODEROW_FIELDS] = NODEROW_NAMES;

	setting_defaults(policy_settings, "node", n);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct setting *s = setting_find(policy_settings, "node", names[fields[i]]);
		const char *text = row_value(rows, r, fields[i]);
		uint64_t v;

		if (text != NULL && setting_parse(s, &v, text) == 0)
			setting_put(s, n, v);
	}
}

static void
load_row(void *arg, const struct noderow *r)
{
	struct rows *rows = arg;
	struct policy *p = rows->l->p;
	struct pol_node *n = &p->nodes[p->nnodes];
	const char *name = r->value[NODEROW_NAME], *address, *cluster, *agent;

	rows->at.line = r->line;
	if (p->nnodes == POL_NODES_MAX) {
		errlist_add(rows->at.e, rows->at.path, r->line,
		    "too many nodes: with those of policy.conf, at most %u are allowed",
		    POL_NODES_MAX);
		return;
	}
	if (!setting_name(name))
		errlist_add(rows->at.e, rows->at.path, r->line, "node \"%s\": " SETTING_NAME_RULE,
		    name);
	else if (policy_node(p, name) != NULL)
		errlist_add(rows->at.e, rows->at.path, r->line, "node \"%s\" is there twice", name);
	address = row_value(rows, r, NODEROW_ADDRESS);
	cluster = row_value(rows, r, NODEROW_CLUSTER);
	agent = row_value(rows, r, NODEROW_AGENT);
	*n = (struct pol_node){ .line = r->line, .in_file = true };
	row_fields(rows, r, n);
	if (address == NULL || addrport_parse(&n->address, address, 445) == -1)
		return;
	snprintf(n->name, sizeof(n->name), "%.*s", POL_NAME_MAX, name);
	snprintf(n->cluster, sizeof(n->cluster), "%.*s", POL_NAME_MAX,
	    cluster != NULL ? cluster : "");
	set_agent(n, agent);
	n->lacks_brackets |= addrwords_lacks_brackets(address);
	check_node_address(rows->l, &rows->at, n);
	p->nnodes++;
}

static void
load_file(struct schema *l)
{
	int line = conffile_line(&l->f, l->f.cfg, "node-file", 0);
	struct rows rows = { .l = l, .at = { .e = l->others } };
	const char *given = cfg_getstr(l->f.cfg, "node-file"), *why;
	struct policy *p = l->p;
	char *text;

	if (given == NULL || given[0] == '\0')
		return;
	p->node_file = conffile_path(l->path, given);
	if (p->node_file == NULL) {
		schema_no_memory(l, line);
		return;
	}
	rows.at.path = p->node_file;
	text = readfile(p->node_file, NODEFILE_MAX, &why);
	p->node_text = text == NULL ? NULL : strdup(text);
	if (p->node_text == NULL)
		errlist_add(&l->e, l->path, line, "node-file %s: %s", p->node_file,
		    text == NULL ? why : "out of memory");
	else
		nodefile_read(text, p->node_file, l->others, load_row, &rows);
	free(text);
	if (p->nnodes == 0 && l->e.total + l->others->total == 0)
		errlist_add(l->others, p->node_file, 1, "no node, neither here nor in policy.conf");
}

/* Of those who name none: the nodes of which none is said; else the one that there is. */
static void
choose_cluster(struct policy *p)
{
	if (p->nnodes == 0)
		return;
	snprintf(p->cluster, sizeof(p->cluster), "%s",
	    policy_first_of(p, "") != NULL ? "" : p->nodes[0].cluster);
	for (size_t i = 0; i < p->nnodes; i++)
		if (strcmp(p->nodes[i].cluster, p->cluster) != 0)
			p->cluster[0] = '\0';
}

void
schema_nodes(struct schema *l)
{
	unsigned n = cfg_size(l->f.cfg, "node");
	bool file = cfg_size(l->f.cfg, "node-file") > 0;

	if (!file && conffile_lacks(&l->f, l->f.cfg, "node"))
		errlist_add(&l->e, l->path, l->f.cfg->line,
		    "no node: there must be at least one node \"NAME\" { address = ... }, or a "
		    "node-file");
	if (n > POL_NODES_MAX) {
		errlist_add(&l->e, l->path,
		    conffile_begin(cfg_getnsec(l->f.cfg, "node", POL_NODES_MAX)),
		    "too many nodes: %u, at most %u are allowed", n, POL_NODES_MAX);
		return;
	}
	l->p->nodes = calloc(file ? POL_NODES_MAX : n + 1, sizeof(struct pol_node));
	if (l->p->nodes == NULL) {
		schema_no_memory(l, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		load_node(l, cfg_getnsec(l->f.cfg, "node", i));
	if (file)
		load_file(l);
	choose_cluster(l->p);
	for (unsigned i = 0; i < n; i++)
		check_others(l, cfg_getnsec(l->f.cfg, "node", i));
}
