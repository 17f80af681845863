/* loglevel.h: smbgatectl log-level */
#ifndef CTL_LOGLEVEL_H
#define CTL_LOGLEVEL_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

struct options;

/* Ends the program where the level, NULL if none was given, or what goes with it is wrong. */
void loglevel_check(const struct options *o, const char *level);

void show_log_level(const json_t *answer, bool all, FILE *out);

#endif
