/* policy.c: the immutable, refcounted snapshot of policy.conf and its questions */
#include "config.h"

#include "policy/policy.h"

#include "policy/acl.h"

#include <stdlib.h>
#include <string.h>

struct policy *
policy_new(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->refs = 1;
	p->addresses = calloc(1, sizeof(*p->addresses));
	if (p->addresses == NULL)
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
	free(p->nodes);
	if (p->addresses != NULL)
		acl_fini(p->addresses);
	free(p->addresses);
	free(p);
}

bool
policy_allows(const struct policy *p, const struct addr *a)
{
	return acl_allows(p->addresses, a);
}

const struct pol_interfaces *
policy_interfaces(const struct policy *p, const char *listener)
{
	for (size_t i = 0; i < p->ninterfaces; i++)
		if (strcmp(p->interfaces[i].listener, listener) == 0)
			return &p->interfaces[i];
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

const char *
pol_ifmode_str(enum pol_ifmode m)
{
	static const char *const text[] = { "announce", "filter", "pass" };

	return text[m];
}

const char *
pol_nodestate_str(enum pol_nodestate s)
{
	static const char *const text[] = { "active", "drain", "maint" };

	return text[s];
}
