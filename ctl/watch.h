/* watch.h: smbgatectl watch: nodes, clients or refusals on the whole terminal, again and again */
#ifndef CTL_WATCH_H
#define CTL_WATCH_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

struct options;

/*
 * what: nodes, clients or refusals, NULL: clients. Ends the program where it is another word, or
 * where there is no terminal.
 */
void watch_check(const struct options *o, const char *what);
/* Until q or a signal; the exit status. path: of the control socket. */
int watch_run(const char *path, const char *what);
/* The command's place in the table: there is nothing to print when it is over. */
void show_watch(const json_t *answer, bool all, FILE *out);

#endif
