/* schema_listener.c: the sections listener "NAME" of policy.conf */
#include "config.h"

#include "policy/schema_listener.h"

#include "policy/policy.h"
#include "policy/schema_priv.h"

#include <stdio.h>
#include <stdlib.h>

static void
check_pool(struct schema *l, const struct pol_listener *n)
{
	if (n->source == POL_SOURCE_POOL && conffile_lacks(&l->f, l->f.cfg, "source-pool"))
		errlist_add(&l->e, l->path, n->source_line, "source = pool needs a source-pool");
}

static void
load_section(struct schema *l, cfg_t *sec, struct pol_listener *n)
{
	const char *name = cfg_title(sec);

	if (!setting_name(name))
		errlist_add(&l->e, l->path, conffile_begin(sec),
		    "listener \"%s\": " SETTING_NAME_RULE, name);
	*n = l->p->common;
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->line = conffile_begin(sec);
	for (const struct setting *s = policy_settings; (s = setting_next(s, "listener")) != NULL;
	     s++)
		if (cfg_size(sec, s->name) > 0)
			setting_put(s, n, conffile_value(sec, s));
	if (cfg_size(sec, "source") > 0) {
		n->source_line = conffile_line(&l->f, sec, "source", 0);
		check_pool(l, n);
	}
}

void
schema_listeners(struct schema *l)
{
	struct policy *p = l->p;
	cfg_t *root = l->f.cfg;
	unsigned n = cfg_size(root, "listener");

	if (cfg_size(root, "source") > 0) {
		p->common.source_line = conffile_line(&l->f, root, "source", 0);
		check_pool(l, &p->common);
	}
	p->listeners = calloc(n + 1, sizeof(*p->listeners));
	if (p->listeners == NULL) {
		schema_no_memory(l, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		load_section(l, cfg_getnsec(root, "listener", i), &p->listeners[p->nlisteners++]);
}
