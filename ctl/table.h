/* table.h: rows of text in aligned columns for a terminal */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stddef.h>
#include <stdio.h>

/* The column headings, borrowed; a heading that begins with '>' aligns its column to the right. */
struct table {
	const char *const *heads;
	size_t ncols;
	char **cells;
	size_t n, cap;
};

/* Adds the next cell, row by row from left to right. Ends the program when memory is out. */
void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints what was added, headings first, and frees it. */
void table_print(struct table *t, FILE *out);

#endif
