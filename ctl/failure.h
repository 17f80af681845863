/* failure.h: why smbgatectl cannot do what it was asked for: to people, or as JSON */
#ifndef CTL_FAILURE_H
#define CTL_FAILURE_H

#include <stdbool.h>

#include <jansson.h>

/* An answer of ours, with that text as its "error". NULL: out of memory. */
json_t *failure(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/*
 * An answer that has an "error", taken over; NULL: out of memory. On stderr, or
 * one line of JSON on stdout.
 */
void failure_print(json_t *answer, bool json);

#endif
