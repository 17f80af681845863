/* show.h: the answers of smbgate as text for people */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/* Each prints one answer of the command of its name; what an answer lacks is shown as "-". */
void show_nodes(const json_t *answer, bool all, FILE *out);
void show_clients(const json_t *answer, bool all, FILE *out);
void show_sessions(const json_t *answer, bool all, FILE *out);
/* Sessions that were asked about, each with what was found. */
void show_explain(const json_t *answer, bool all, FILE *out);
void show_policy(const json_t *answer, bool all, FILE *out);
/* The map of claims; all: errors that never happened, too. */
void show_map(const json_t *answer, bool all, FILE *out);
/* all: counters that are zero, too. With what each means, where the answer has that. */
void show_stats(const json_t *answer, bool all, FILE *out);

/* One sentence on what a drain, undrain or reload did. */
void show_drain(const json_t *answer, bool all, FILE *out);
void show_reload(const json_t *answer, bool all, FILE *out);

#endif
