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

bool
acl_allows(const struct acl *a, const struct addr *addr)
{
	bool allowed = true;
	int best = -1;

	for (size_t i = 0; i < a->n; i++)
		if (!a->rules[i].deny)
			allowed = false;
	for (size_t i = 0; i < a->n; i++) {
		const struct acl_rule *r = &a->rules[i];

		if (r->prefix.len < best || !prefix_match(&r->prefix, addr))
			continue;
		if (r->prefix.len > best || r->deny)
			allowed = !r->deny;
		best = r->prefix.len;
	}
	return allowed;
}
