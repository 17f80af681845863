/* print.h: the effective policy as text in the syntax of policy.conf */
#ifndef POLICY_PRINT_H
#define POLICY_PRINT_H

#include <stdio.h>

struct policy;

/* Every setting with its value in force; schema_load() of the output gives an equal policy. */
void policy_print(const struct policy *p, FILE *out);
/* Of that only what holds for listeners that have rules of their own. */
void policy_print_listeners(const struct policy *p, FILE *out);

#endif
