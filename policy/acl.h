/* acl.h: allow and deny prefixes; the longest match decides, deny wins a tie */
#ifndef POLICY_ACL_H
#define POLICY_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct acl_rule {
	struct prefix prefix;
	bool deny;
	uint16_t file;		/* where it stands: acl_stands() */
	int line;		/* 0: not known */
};

/* Rules in the order in which they were written; owned by the acl. */
struct acl {
	struct acl_rule *rules;
	size_t n;
};

/* A decision looks at every rule, a reload at every pair of them. */
#define ACL_RULES_MAX 4096

/* Appends a rule. -1 when there are as many as there may be, or memory is out. */
int acl_add(struct acl *a, const struct prefix *p, bool deny) __attribute__((warn_unused_result));
/* Where the last rule stands, for people. file: the owner's number for it. */
void acl_stands(struct acl *a, uint16_t file, int line);
void acl_fini(struct acl *a);

/*
 * The longest prefix that holds the address decides; of an allow and a deny of equal length deny
 * wins. Nothing matches: allowed exactly when there is no allow rule at all.
 */
bool acl_allows(const struct acl *a, const struct addr *addr);
/* The rule by which it decides, or NULL. */
const struct acl_rule *acl_decides(const struct acl *a, const struct addr *addr);

#endif
