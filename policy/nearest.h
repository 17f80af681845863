/* nearest.h: pure: the words that somebody may have meant */
#ifndef POLICY_NEAREST_H
#define POLICY_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Those of the n words that are nearest to a mistyped one, as `"state" or "stats"`; false, and all
 * of them, where none is near. Words that are NULL are passed over, and each is named once. dst is
 * cut.
 */
bool nearest(char *dst, size_t cap, const char *typed, const char *const *words, size_t n);

#endif
