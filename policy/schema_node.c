/* schema_node.c: the sections node "NAME" of policy.conf */
#include "config.h"

#include "policy/schema_node.h"

#include "policy/policy.h"
#include "policy/schema_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
check_node_address(struct schema *l, cfg_t *sec, const struct pol_node *n, int line)
{
	char text[ADDR_STRLEN], what[POL_NAME_MAX + 16];

	addrport_str(&n->address, text);
	snprintf(what, sizeof(what), "node \"%.*s\"", POL_NAME_MAX, cfg_title(sec));
	schema_unicast(l, &n->address.addr, line, what, text);
	for (size_t i = 0; i < l->p->nnodes; i++)
		if (addr_equal(&l->p->nodes[i].address.addr, &n->address.addr) &&
		    l->p->nodes[i].address.port == n->address.port)
			errlist_add(&l->e, l->path, line,
			    "node \"%s\" has the same address as node \"%s\"", cfg_title(sec),
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
		char what[POL_NAME_MAX + 16];
		struct addr a;

		if (addr_parse(&a, text) == -1)
			continue;
		snprintf(what, sizeof(what), "node \"%.*s\"", POL_NAME_MAX, cfg_title(sec));
		schema_unicast(l, &a, line, what, text);
		if (n->nothers == POL_NODE_OTHERS_MAX) {
			errlist_add(&l->e, l->path, line,
			    "%s: other-addresses has more than %d entries", what,
			    POL_NODE_OTHERS_MAX);
			return;
		}
		n->others[n->nothers++] = a;
	}
}

static void
load_node(struct schema *l, cfg_t *sec)
{
	struct pol_node *n = &l->p->nodes[l->p->nnodes];
	const char *name = cfg_title(sec), *address = cfg_getstr(sec, "address");

	if (!conffile_name(name))
		errlist_add(&l->e, l->path, conffile_begin(sec),
		    "node \"%s\": " CONFFILE_NAME_RULE, name);
	if (conffile_lacks(&l->f, sec, "address"))
		errlist_add(&l->e, l->path, conffile_begin(sec), "node \"%s\" has no address",
		    name);
	if (address == NULL || addrport_parse(&n->address, address, 445) == -1)
		return;
	n->line = conffile_line(&l->f, sec, "address", 0);
	check_node_address(l, sec, n, n->line);
	snprintf(n->name, sizeof(n->name), "%s", name);
	load_others(l, sec, n);
	schema_fields(l, sec, n);
	l->p->nnodes++;
}

void
schema_nodes(struct schema *l)
{
	unsigned n = cfg_size(l->f.cfg, "node");

	if (conffile_lacks(&l->f, l->f.cfg, "node"))
		errlist_add(&l->e, l->path, l->f.cfg->line,
		    "no node: there must be at least one node \"NAME\" { address = ... }");
	if (n > POL_NODES_MAX) {
		errlist_add(&l->e, l->path,
		    conffile_begin(cfg_getnsec(l->f.cfg, "node", POL_NODES_MAX)),
		    "too many nodes: %u, at most %u are allowed", n, POL_NODES_MAX);
		return;
	}
	l->p->nodes = calloc(n + 1, sizeof(struct pol_node));
	if (l->p->nodes == NULL) {
		schema_no_memory(l, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		load_node(l, cfg_getnsec(l->f.cfg, "node", i));
	for (unsigned i = 0; i < n; i++)
		check_others(l, cfg_getnsec(l->f.cfg, "node", i));
}
