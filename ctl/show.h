/* show.h: the answers of smbgate as text for people */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/* Each prints one answer of the command of its name; what an answer lacks is shown as "-". */
void show_nodes(const json_t *answer, bool all, FILE *out);
void show_clients(const json_t *answer, bool all, FILE *out);
/* Of them those that speak old protocols. */
void show_old(const json_t *answer, bool all, FILE *out);
void show_sessions(const json_t *answer, bool all, FILE *out);
/* Clients that were asked about, each with its verdict; or an address, or a GUID. */
void show_explain(const json_t *answer, bool all, FILE *out);
/* How many of these, and refusals, it found. */
size_t show_explained(const json_t *answer);
void show_refusals(const json_t *answer, bool all, FILE *out);
void show_policy(const json_t *answer, bool all, FILE *out);
/* The map of claims; all: errors that never happened, too. */
void show_map(const json_t *answer, bool all, FILE *out);
/* all: counters that are zero, too. With what each means, where the answer has that. */
void show_stats(const json_t *answer, bool all, FILE *out);

/* What a check found. */
void show_check(const json_t *answer, bool all, FILE *out);

/* One sentence on what a drain, undrain or reload did. */
void show_drain(const json_t *answer, bool all, FILE *out);
void show_ready(const json_t *answer, bool all, FILE *out);
void show_reload(const json_t *answer, bool all, FILE *out);

#endif
