/* schema.c: policy.conf to a new snapshot, or to a list of errors with file:line */
#include "config.h"

#include "policy/schema.h"

#include "policy/acl.h"
#include "policy/conffile.h"
#include "policy/denyfile.h"
#include "policy/errlist.h"
#include "policy/policy.h"
#include "policy/schema_iface.h"
#include "policy/schema_listener.h"
#include "policy/schema_node.h"
#include "policy/schema_priv.h"

#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
load_rules(struct schema *l, cfg_t *sec, const char *name, struct acl *to, bool deny)
{
	for (unsigned i = 0; i < cfg_size(sec, name); i++) {
		int line = conffile_line(&l->f, sec, name, i);
		struct prefix p;

		if (prefix_parse(&p, cfg_getnstr(sec, name, i)) == -1)
			continue;
		if (acl_add(to, &p, deny) == 0) {
			acl_stands(to, 0, line);
			continue;
		}
		if (to->n < ACL_RULES_MAX)
			schema_no_memory(l, line);
		else
			errlist_add(&l->e, l->path, line,
			    "%s: too many address rules: at most %d are allowed", name,
			    ACL_RULES_MAX);
		return;
	}
}

/* Are nodes among the addresses that deny-files have, as rules from the first on? */
static void
mark_public(struct schema *l, size_t first)
{
	const struct acl *a = l->p->addresses;

	for (size_t i = 0; i < l->p->nnodes; i++)
		for (size_t k = first; k < a->n; k++)
			if (prefix_match(&a->rules[k].prefix, &l->p->nodes[i].address.addr))
				l->p->nodes[i].public = true;
}

/* Takes over the path. */
static int
keep_deny_file(struct policy *p, char *path)
{
	char **files = reallocarray(p->deny_files, p->ndeny_files + 1, sizeof(*files));

	if (files == NULL) {
		free(path);
		return -1;
	}
	p->deny_files = files;
	files[p->ndeny_files++] = path;
	return 0;
}

static void
load_deny_file(struct schema *l, const char *path, int line)
{
	struct acl *a = l->p->addresses;
	size_t first = a->n;

	denyfile_load(a, path, l->path, line, &l->e, l->others);
	for (size_t i = first; i < a->n; i++)
		a->rules[i].file = (uint16_t)l->p->ndeny_files;
}

static void
load_addresses(struct schema *l)
{
	size_t first;
	cfg_t *sec = cfg_getsec(l->f.cfg, "addresses");

	load_rules(l, sec, "allow", l->p->addresses, false);
	load_rules(l, sec, "deny", l->p->addresses, true);
	first = l->p->addresses->n;
	for (unsigned i = 0; i < cfg_size(sec, "deny-file"); i++) {
		const char *text = cfg_getnstr(sec, "deny-file", i);
		int line = conffile_line(&l->f, sec, "deny-file", i);
		char *path;

		if (text[0] == '\0')
			continue;
		path = conffile_path(l->path, text);
		if (path == NULL || keep_deny_file(l->p, path) == -1)
			schema_no_memory(l, line);
		else
			load_deny_file(l, path, line);
	}
	mark_public(l, first);
}

static void
load_pool(struct schema *l)
{
	struct schema_at at = { .path = l->path, .e = &l->e };
	cfg_t *sec = l->f.cfg;
	unsigned n = cfg_size(sec, "source-pool");

	if (n > POL_POOL_MAX) {
		errlist_add(&l->e, l->path, conffile_line(&l->f, sec, "source-pool", POL_POOL_MAX),
		    "source-pool: too many addresses: %u, at most %d are allowed", n, POL_POOL_MAX);
		return;
	}
	l->p->pool = calloc(n + 1, sizeof(struct addr));
	l->p->pool_lines = calloc(n + 1, sizeof(int));
	if (l->p->pool == NULL || l->p->pool_lines == NULL) {
		schema_no_memory(l, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		struct addr *a = &l->p->pool[l->p->npool];
		const char *text = cfg_getnstr(sec, "source-pool", i);

		if (addr_parse(a, text) == -1)
			continue;
		at.line = l->p->pool_lines[l->p->npool++] =
		    conffile_line(&l->f, sec, "source-pool", i);
		schema_unicast(&at, a, "source-pool", text);
	}
}

/* The options of the whole file, as libconfuse wants them. */
struct policy_options {
	struct conffile_section node, addresses, address, interfaces, listener, auth, health,
	    limits, tcp, root;
};

static void
policy_grammar(struct policy_options *g)
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
		CFG_SEC("listener", g->listener.opts, several),
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
	conffile_section(&g->listener, policy_settings, "listener", NULL);
	conffile_section(&g->auth, policy_settings, "auth", NULL);
	conffile_section(&g->health, policy_settings, "health", NULL);
	conffile_section(&g->limits, policy_settings, "limits", NULL);
	conffile_section(&g->tcp, policy_settings, "tcp", NULL);
	conffile_section(&g->root, policy_settings, "root", in_root);
}

static void
schema_load_all(struct schema *l)
{
	for (const char *const *name = policy_sections; *name != NULL; name++)
		schema_fields(l,
		    strcmp(*name, "root") == 0 ? l->f.cfg : cfg_getsec(l->f.cfg, *name), l->p);
	schema_nodes(l);
	load_addresses(l);
	schema_interfaces(l);
	load_rules(l, l->f.cfg, "nat", l->p->nat, false);
	schema_listeners(l);
	load_pool(l);
}

/* given: the text of policy.conf, or NULL: it is read. */
static struct policy *
load_policy(const char *path, const char *given, struct errlist *e)
{
	struct errlist others = { .n = 0 };
	struct schema l = { .path = path, .others = &others };
	struct policy_options g;

	policy_grammar(&g);
	if (conffile_parse(&l.f, path, given, g.root.opts, policy_settings, &l.e) == 0) {
		l.p = policy_new();
		if (l.p == NULL)
			schema_no_memory(&l, 0);
		else
			schema_load_all(&l);
	}
	if (l.p != NULL) {
		l.p->text = l.f.text.whole;
		l.f.text.whole = NULL;
	}
	conffile_fini(&l.f);
	if (l.e.total + others.total > 0)
		policy_unref(&l.p);
	errlist_sort(&l.e, 0);
	errlist_take(e, &l.e);
	errlist_take(e, &others);
	return l.p;
}

struct policy *
schema_load(const char *path, struct errlist *e)
{
	return load_policy(path, NULL, e);
}

struct policy *
schema_again(const struct policy *now, const char *path, struct errlist *e)
{
	return load_policy(path, now->text, e);
}
