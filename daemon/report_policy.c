/* report_policy.c: what an operator is shown of the policy, as JSON */
#include "config.h"

#include "daemon/report.h"

#include "daemon/json.h"
#include "policy/acl.h"
#include "policy/conf.h"
#include "policy/policy.h"
#include "policy/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
policy_text(json_t *o, const struct policy *p)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		return;
	policy_print(p, f);
	if (fclose(f) == 0)
		jset_text(o, "text", text);
	free(text);
}

static void
policy_nodes(json_t *o, const struct policy *p)
{
	json_t *list = jset_array(o, "nodes"), *others;
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < p->nnodes; i++) {
		json_t *n = jadd_object(list);

		jset_text(n, "name", p->nodes[i].name);
		jset_addrport(n, "address", &p->nodes[i].address);
		others = jset_array(n, "other_addresses");
		for (size_t k = 0; k < p->nodes[i].nothers; k++)
			jadd_text(others, addr_str(&p->nodes[i].others[k], text));
		jset_int(n, "weight", p->nodes[i].weight);
		jset_name(n, "cluster", p->nodes[i].cluster);
		jset_text(n, "state", pol_nodestate_str(p->nodes[i].state));
		if (p->nodes[i].agent.port != 0)
			jset_addrport(n, "agent", &p->nodes[i].agent);
		else
			jset_text(n, "agent", NULL);
	}
}

static void
policy_rules(json_t *o, const char *key, const struct acl *a, bool deny)
{
	json_t *list = jset_array(o, key);
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < a->n; i++)
		if (a->rules[i].deny == deny)
			jadd_text(list, prefix_str(&a->rules[i].prefix, text));
}

static void
policy_lists(json_t *o, const struct policy *p)
{
	json_t *sections = jset_array(o, "interfaces");

	for (size_t i = 0; i < p->ninterfaces; i++) {
		const struct pol_interfaces *s = &p->interfaces[i];
		json_t *x = jadd_object(sections), *list;

		jset_text(x, "listener", s->listener);
		jset_text(x, "mode", pol_ifmode_str(s->mode));
		list = jset_array(x, "addresses");
		for (size_t k = 0; k < s->n; k++) {
			json_t *a = jadd_object(list);

			jset_addr(a, "address", &s->list[k].addr);
			jset_int(a, "speed", s->list[k].speed);
			jset_bool(a, "rss", s->list[k].rss);
			jset_int(a, "ifindex", s->list[k].ifindex);
			jset_bool(a, "elsewhere", s->list[k].elsewhere);
		}
	}
}

/* Every setting of a section that is one value, by its row in policy/settings.tbl.h. */
static void
section_fields(json_t *o, const char *section, const void *base)
{
	char key[64], text[SETTING_STRLEN];

	for (const struct setting *s = policy_settings; (s = setting_next(s, section)) != NULL;
	     s++) {
		uint64_t v = setting_get(s, base);

		if (s->kind == SETTING_BOOL)
			jset_bool(o, setting_key(s, key), v != 0);
		else if (s->words[0] != NULL)
			jset_text(o, setting_key(s, key), setting_str(s, v, text));
		else
			jset_int(o, setting_key(s, key), v);
	}
}

static void
policy_fields(json_t *root, const struct policy *p)
{
	for (const char *const *section = policy_sections; *section != NULL; section++)
		section_fields(
		    strcmp(*section, "root") == 0 ? root : jset_object(root, *section), *section,
		    p);
}

/* Every listener, and what policy says of its clients. */
static void
policy_listeners(json_t *o, const struct policy *p, const struct conf *conf)
{
	json_t *list = jset_array(o, "listeners");

	for (size_t i = 0; i < conf->nlisten; i++) {
		const struct conf_listen *l = &conf->listen[i];
		json_t *x = jadd_object(list);

		jset_text(x, "name", l->name);
		jset_addrport(x, "address", &l->address);
		jset_bool(x, "intercept", l->intercept);
		section_fields(x, "listener", policy_listener(p, l->name));
	}
}

json_t *
report_policy(const struct policy *p, const struct conf *conf, uint64_t since_ms, uint64_t now_ms)
{
	json_t *root = json_object(), *o = jset_object(root, "policy"), *addresses;

	jset_int(o, "generation", p->generation);
	jset_age(o, "since_s", since_ms, now_ms);
	jset_text(o, "path", conf->policy);
	jset_text(o, "node_file", p->node_file);
	policy_nodes(o, p);
	policy_fields(o, p);
	addresses = jset_object(o, "addresses");
	policy_rules(addresses, "allow", p->addresses, false);
	policy_rules(addresses, "deny", p->addresses, true);
	policy_lists(o, p);
	policy_listeners(o, p, conf);
	policy_text(o, p);
	return root;
}
