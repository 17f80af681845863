/* program.h: another program's output */
#ifndef CTL_PROGRAM_H
#define CTL_PROGRAM_H

#include <stddef.h>

#include <jansson.h>

#define PROGRAM_WHY 256
#define PROGRAM_ARGS 15

/*
 * Runs a program, found in PATH or where root's programs are, and reads its output as JSON. A new
 * value; NULL: why says so, in the program's own words where it has some. argv has
 * PROGRAM_ARGS at most, and ends with NULL.
 */
json_t *program_json(const char *const *argv, char why[PROGRAM_WHY]);
/* The same as text, for the caller to free. */
char *program_text(const char *const *argv, char why[PROGRAM_WHY]);

#endif
