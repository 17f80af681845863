/* errlist.c: errors of configuration files, each with file:line */
#include "config.h"

#include "policy/errlist.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer than any text of ours with a value of a sensible length. */
#define TEXT_MAX 400

void
errlist_add(struct errlist *e, const char *file, int line, const char *fmt, ...)
{
	const char *word = e->warnings ? "warning: " : "";
	char text[TEXT_MAX], *full;
	va_list ap;
	int n;

	e->total++;
	if (e->n == ERRLIST_MAX)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(text))
		strcpy(text + sizeof(text) - 4, "...");
	for (char *s = text; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	n = line > 0 ? asprintf(&full, "%s:%d: %s%s", file, line, word, text)
	             : asprintf(&full, "%s: %s%s", file, word, text);
	if (n == -1)
		return;
	e->line[e->n] = line;
	e->text[e->n++] = full;
}

static bool
errlist_has(const struct errlist *e, const char *text)
{
	for (size_t i = 0; i < e->n; i++)
		if (strcmp(e->text[i], text) == 0)
			return true;
	return false;
}

void
errlist_merge(struct errlist *e, struct errlist *from, int last)
{
	for (size_t i = 0; i < from->n; i++) {
		if (from->line[i] > last || errlist_has(e, from->text[i])) {
			free(from->text[i]);
			continue;
		}
		e->total++;
		if (e->n == ERRLIST_MAX) {
			free(from->text[i]);
			continue;
		}
		e->line[e->n] = from->line[i];
		e->text[e->n++] = from->text[i];
	}
	/* Those that were only counted: which lines they are of is not known. */
	if (last == INT_MAX)
		e->total += from->total - from->n;
	*from = (struct errlist){ .warnings = from->warnings };
}

void
errlist_take(struct errlist *e, struct errlist *from)
{
	e->total += from->total;
	for (size_t i = 0; i < from->n; i++) {
		if (e->n == ERRLIST_MAX) {
			free(from->text[i]);
			continue;
		}
		e->line[e->n] = from->line[i];
		e->text[e->n++] = from->text[i];
	}
	*from = (struct errlist){ .warnings = from->warnings };
}

void
errlist_sort(struct errlist *e, size_t first)
{
	/* Few, and nearly in order: insertion keeps equal lines as they came. */
	for (size_t i = first + 1; i < e->n; i++) {
		char *text = e->text[i];
		int line = e->line[i];
		size_t k = i;

		for (; k > first && e->line[k - 1] > line; k--) {
			e->text[k] = e->text[k - 1];
			e->line[k] = e->line[k - 1];
		}
		e->text[k] = text;
		e->line[k] = line;
	}
}

void
errlist_fini(struct errlist *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->text[i]);
	*e = (struct errlist){ .warnings = e->warnings };
}
