/* rows.h: answers of which there may be many rows: which, in which order, and which columns */
#ifndef CTL_ROWS_H
#define CTL_ROWS_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

struct options;

/* Are rows of that object of show asked for by filters? */
bool rows_are(const char *what);

/*
 * What a request has where nothing else was said: a table is of what lives, sorted by address. Ends
 * the program where options contradict each other.
 */
void rows_request(const struct options *o, const char *what, json_t *request);

/*
 * The columns of that list, keys of the answer's rows; ends the program if no row has one. o NULL:
 * the list is none of theirs.
 */
void rows_print(const struct options *o, const json_t *answer, const char *what, const char *list,
    FILE *out);
/* Each row keeps these keys alone, of OPT_COLUMNS. */
void rows_keep(const struct options *o, const json_t *answer, const char *what);

/* Somebody was named, by a filter, and is not there. */
bool rows_nobody(const struct options *o, const json_t *answer);

/* What a table does not show. */
void rows_left_out(const json_t *answer, const char *what, FILE *out);

void show_connections(const json_t *answer, bool all, FILE *out);

/* "999 B", "1.5 kB", "12 MB" */
const char *rows_bytes(double n, char dst[32]);

#endif
