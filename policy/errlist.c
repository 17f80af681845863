/* errlist.c: errors of configuration files, each with file:line */
#include "config.h"

#include "policy/errlist.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
errlist_add(struct errlist *e, const char *file, int line, const char *fmt, ...)
{
	char *text = NULL, *full = NULL;
	va_list ap;

	e->total++;
	if (e->n == ERRLIST_MAX)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		text = NULL;
	va_end(ap);
	if (text == NULL || asprintf(&full, "%s:%d: %s", file, line, text) == -1)
		full = NULL;
	free(text);
	if (full == NULL)
		return;
	e->line[e->n] = line;
	e->text[e->n++] = full;
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
	*from = (struct errlist){ .n = 0 };
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
	*e = (struct errlist){ .n = 0 };
}
