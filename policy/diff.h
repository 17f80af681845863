/* diff.h: what a reload changed, a line for each difference */
#ifndef POLICY_DIFF_H
#define POLICY_DIFF_H

struct policy;

/*
 * One line per difference, without a newline, through emit: nodes added, removed, changed;
 * address rules; interfaces; other settings with old and new value. Returns how many.
 */
unsigned policy_diff(const struct policy *old, const struct policy *new,
    void (*emit)(void *arg, const char *line), void *arg);

#endif
