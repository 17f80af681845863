/* policy.c: the immutable, refcounted snapshot of policy.conf and its questions */
#include "config.h"

#include "policy/policy.h"

#include "policy/acl.h"

#include <stdlib.h>
#include <string.h>

const struct setting policy_settings[] = {
#define SETTING SETTING_ROW
#define LIST SETTING_LIST
#define OTHER SETTING_OTHER
#include "policy/settings.tbl.h"
#undef SETTING
#undef LIST
#undef OTHER
	SETTING_END
};

const char *const policy_sections[] = { "root", "auth", "health", "limits", "tcp", NULL };

struct policy *
policy_new(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->refs = 1;
	for (const char *const *section = policy_sections; *section != NULL; section++)
		setting_defaults(policy_settings, *section, p);
	p->addresses = calloc(1, sizeof(*p->addresses));
	p->nat = calloc(1, sizeof(*p->nat));
	if (p->addresses == NULL || p->nat == NULL)
		policy_unref(&p);
	return p;
}

struct policy *
policy_ref(struct policy *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

void
policy_unref(struct policy **pp)
{
	struct policy *p = *pp;

	*pp = NULL;
	if (p == NULL || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < p->ninterfaces; i++)
		free(p->interfaces[i].list);
	free(p->interfaces);
	free(p->listeners);
	free(p->text);
	free(p->nodes);
	free(p->node_file);
	free(p->node_text);
	if (p->addresses != NULL)
		acl_fini(p->addresses);
	free(p->addresses);
	for (size_t i = 0; i < p->ndeny_files; i++)
		free(p->deny_files[i]);
	free(p->deny_files);
	if (p->nat != NULL)
		acl_fini(p->nat);
	free(p->nat);
	free(p->pool);
	free(p->pool_lines);
	free(p);
}

bool
policy_allows(const struct policy *p, const struct addr *a)
{
	return acl_allows(p->addresses, a);
}

bool
policy_is_nat(const struct policy *p, const struct addr *client)
{
	/* An acl without a rule allows everything. */
	return p->nat->n > 0 && acl_allows(p->nat, client);
}

const struct pol_interfaces *
policy_interfaces(const struct policy *p, const char *listener)
{
	for (size_t i = 0; i < p->ninterfaces; i++)
		if (strcmp(p->interfaces[i].listener, listener) == 0)
			return &p->interfaces[i];
	return NULL;
}

const struct pol_listener *
policy_listener_named(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->nlisteners; i++)
		if (strcmp(p->listeners[i].name, name) == 0)
			return &p->listeners[i];
	return &p->common;
}

bool
policy_knows_smb1(const struct policy *p)
{
	bool any = p->common.smb1 == POL_SMB1_ALLOW;

	for (size_t i = 0; i < p->nlisteners; i++)
		any |= p->listeners[i].smb1 == POL_SMB1_ALLOW;
	return any;
}

const struct pol_listener *
policy_source(const struct policy *p, enum pol_source s)
{
	if (p->common.source == s)
		return &p->common;
	for (size_t i = 0; i < p->nlisteners; i++)
		if (p->listeners[i].source == s)
			return &p->listeners[i];
	return NULL;
}

const struct pol_node *
policy_node(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->nnodes; i++)
		if (strcmp(p->nodes[i].name, name) == 0)
			return &p->nodes[i];
	return NULL;
}

const struct pol_node *
policy_first_of(const struct policy *p, const char *cluster)
{
	for (size_t i = 0; i < p->nnodes; i++)
		if (strcmp(p->nodes[i].cluster, cluster) == 0)
			return &p->nodes[i];
	return NULL;
}

bool
pol_node_has(const struct pol_node *n, const struct addr *a)
{
	if (addr_equal(&n->address.addr, a))
		return true;
	for (size_t i = 0; i < n->nothers; i++)
		if (addr_equal(&n->others[i], a))
			return true;
	return false;
}

const struct pol_node *
policy_node_at(const struct policy *p, const struct addrport *a)
{
	const struct pol_node *first = NULL;

	for (size_t i = 0; i < p->nnodes; i++) {
		const struct pol_node *n = &p->nodes[i];

		if (!pol_node_has(n, &a->addr))
			continue;
		if (n->address.port == a->port)
			return n;
		if (first == NULL)
			first = n;
	}
	return first;
}

static const char *
setting_word(const char *section, const char *name, unsigned i)
{
	return setting_find(policy_settings, section, name)->words[i];
}

const char *
pol_ifmode_str(enum pol_ifmode m)
{
	return setting_word("interfaces", "mode", m);
}

const char *
pol_source_str(enum pol_source s)
{
	return setting_word("root", "source", s);
}

const char *
pol_nodestate_str(enum pol_nodestate s)
{
	return setting_word("node", "state", s);
}
