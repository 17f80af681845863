/* print.h: the effective policy as text in the syntax of policy.conf, and what a reload changed */
#ifndef POLICY_PRINT_H
#define POLICY_PRINT_H

#include <stdio.h>

struct policy;

/* Every setting with its value in force; schema_load() of the output gives an equal policy. */
void policy_print(const struct policy *p, FILE *out);

/*
 * One line per difference, without a newline, through emit: nodes added, removed, changed;
 * address rules; interfaces; other settings with old and new value. Returns how many.
 */
unsigned policy_diff(const struct policy *old, const struct policy *new,
    void (*emit)(void *arg, const char *line), void *arg);

#endif
