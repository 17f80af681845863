/* acl.c: allow and deny prefixes; the longest match decides, deny wins a tie */
#include "config.h"

#include "policy/acl.h"

#include <stdlib.h>

int
acl_add(struct acl *a, const struct prefix *p, bool deny)
{
	struct acl_rule *r = a->n == ACL_RULES_MAX ? NULL
	                                           : reallocarray(a->rules, a->n + 1, sizeof(*r));

	if (r == NULL)
		return -1;
	a->rules = r;
	a->rules[a->n++] = (struct acl_rule){ .prefix = *p, .deny = deny };
	return 0;
}

void
acl_fini(struct acl *a)
{
	free(a->rules);
	*a = (struct acl){ .n = 0 };
}

void
acl_stands(struct acl *a, uint16_t file, int line)
{
	a->rules[a->n - 1].file = file;
	a->rules[a->n - 1].line = line;
}

const struct acl_rule *
acl_decides(const struct acl *a, const struct addr *addr)
{
	const struct acl_rule *best = NULL;

	for (size_t i = 0; i < a->n; i++) {
		const struct acl_rule *r = &a->rules[i];

		if ((best != NULL && r->prefix.len < best->prefix.len) ||
		    !prefix_match(&r->prefix, addr))
			continue;
		if (best == NULL || r->prefix.len > best->prefix.len || r->deny)
			best = r;
	}
	return best;
}

bool
acl_allows(const struct acl *a, const struct addr *addr)
{
	const struct acl_rule *r = acl_decides(a, addr);

	if (r != NULL)
		return !r->deny;
	if (a->rules == NULL)
		return true;
	for (size_t i = 0; i < a->n; i++)
		if (!a->rules[i].deny)
			return false;
	return true;
}
