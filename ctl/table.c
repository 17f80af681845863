/* table.c: rows of text in aligned columns for a terminal */
#include "config.h"

#include "ctl/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void
no_memory(void)
{
	fputs("smbgatectl: out of memory\n", stderr);
	exit(EXIT_FAILURE);
}

void
table_add(struct table *t, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (t->n == t->cap) {
		size_t cap = t->cap == 0 ? 256 : t->cap * 2;
		char **cells = realloc(t->cells, cap * sizeof(char *));

		if (cells == NULL)
			no_memory();
		t->cells = cells;
		t->cap = cap;
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		no_memory();
	va_end(ap);
	/* Names come from files: whatever they hold, the terminal is not to obey it. */
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	t->cells[t->n++] = text;
}

/* Characters, not bytes, of UTF-8. */
static int
width(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void
print_cell(FILE *out, const char *text, int room, int right, int last)
{
	int pad = room - width(text);

	if (right)
		fprintf(out, "%*s%s", pad, "", text);
	else if (last)
		fputs(text, out);
	else
		fprintf(out, "%s%*s", text, pad, "");
	fputs(last ? "\n" : "  ", out);
}

void
table_print(struct table *t, FILE *out)
{
	int *room = calloc(t->ncols, sizeof(*room));

	if (room == NULL)
		no_memory();
	for (size_t i = 0; i < t->ncols; i++)
		room[i] = width(t->heads[i] + (t->heads[i][0] == '>'));
	for (size_t i = 0; i < t->n; i++)
		if (width(t->cells[i]) > room[i % t->ncols])
			room[i % t->ncols] = width(t->cells[i]);
	for (size_t i = 0; i < t->ncols + t->n; i++) {
		size_t col = i % t->ncols;
		int right = t->heads[col][0] == '>';
		const char *text = i < t->ncols ? t->heads[col] + right : t->cells[i - t->ncols];

		print_cell(out, text, room[col], right, col + 1 == t->ncols);
	}
	free(room);
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	t->cells = NULL;
	t->n = t->cap = 0;
}
