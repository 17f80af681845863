/* schema.h: policy.conf to a new snapshot, or to a list of errors with file:line */
#ifndef POLICY_SCHEMA_H
#define POLICY_SCHEMA_H

#include <stddef.h>

struct policy;

/* Enough for a person to mend in one go; more are counted, not kept. */
#define ERRLIST_MAX 50

/* Errors in the order of the file, each a line "file:line: text" of its own. */
struct errlist {
	size_t n;		/* kept */
	size_t total;
	char *text[ERRLIST_MAX];
};

void errlist_add(struct errlist *e, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void errlist_fini(struct errlist *e);

/*
 * Reads the whole file first, then parses and checks it and the files that it names; touches
 * nothing that is in force. Returns the new policy with one reference, or NULL with at least one
 * error in *e (which the caller has zeroed and frees).
 */
struct policy *schema_load(const char *path, struct errlist *e);

#endif
