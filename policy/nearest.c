/* nearest.c: pure: the words that somebody may have meant */
#include "config.h"

#include "policy/nearest.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Longer than any command; what is typed is cut to it. */
#define WORD_MAX 31

static size_t
smallest(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/*
 * How many letters must be added, dropped, changed, or exchanged with their neighbour, to make one
 * word of the other.
 */
static size_t
distance(const char *a, const char *b)
{
	size_t d[WORD_MAX + 1][WORD_MAX + 1];
	size_t la = strnlen(a, WORD_MAX), lb = strnlen(b, WORD_MAX);

	for (size_t i = 0; i <= la; i++)
		d[i][0] = i;
	for (size_t k = 0; k <= lb; k++)
		d[0][k] = k;
	for (size_t i = 1; i <= la; i++)
		for (size_t k = 1; k <= lb; k++) {
			bool same = a[i - 1] == b[k - 1];

			d[i][k] = smallest(d[i - 1][k] + 1, d[i][k - 1] + 1,
			    d[i - 1][k - 1] + !same);
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
			    d[i - 2][k - 2] + 1 < d[i][k])
				d[i][k] = d[i - 2][k - 2] + 1;
		}
	return d[la][lb];
}

static bool
is_first(const char *const *words, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (words[k] != NULL && strcmp(words[k], words[i]) == 0)
			return false;
	return true;
}

/* Is words[i] one to be named: where best is not SIZE_MAX, one at that distance? */
static bool
is_named(const char *typed, const char *const *words, size_t i, size_t best)
{
	return words[i] != NULL && is_first(words, i) &&
	    (best == SIZE_MAX || distance(typed, words[i]) == best);
}

bool
nearest(char *dst, size_t cap, const char *typed, const char *const *words, size_t n)
{
	size_t best = SIZE_MAX, left = 0, len = 0;

	for (size_t i = 0; i < n; i++)
		if (words[i] != NULL && distance(typed, words[i]) < best)
			best = distance(typed, words[i]);
	/* With more than half of it changed it is another word. */
	if (best > strlen(typed) / 2)
		best = SIZE_MAX;
	for (size_t i = 0; i < n; i++)
		left += is_named(typed, words, i, best);
	dst[0] = '\0';
	for (size_t i = 0; i < n && len < cap; i++) {
		if (!is_named(typed, words, i, best))
			continue;
		left--;
		len += (size_t)snprintf(dst + len, cap - len, "\"%s\"%s", words[i],
		    left > 1 ? ", " : left == 1 ? " or " : "");
	}
	return best != SIZE_MAX;
}
