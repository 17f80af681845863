/* errlist.h: errors of configuration files, each with file:line */
#ifndef POLICY_ERRLIST_H
#define POLICY_ERRLIST_H

#include <stdbool.h>
#include <stddef.h>

/* Enough to fix in one go; further ones are counted, not kept. */
#define ERRLIST_MAX 50

/* Each a line "file:line: text" of its own, in the order of the file. All zero: none. */
struct errlist {
	bool warnings;		/* each is "file:line: warning: text" */
	size_t n;		/* kept */
	size_t total;
	char *text[ERRLIST_MAX];
	int line[ERRLIST_MAX];
};

/*
 * Control bytes are replaced and a long text is cut: it may quote anything. line 0: the whole file
 * is meant, and the text has no line.
 */
void errlist_add(struct errlist *e, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Moves those of the lines up to last that are not there yet; from is empty then. */
void errlist_merge(struct errlist *e, struct errlist *from, int last);
/* Moves all of `from` behind what is there; from is empty then. */
void errlist_take(struct errlist *e, struct errlist *from);
/* Puts the errors from the first-th on into the order of their lines. */
void errlist_sort(struct errlist *e, size_t first);
void errlist_fini(struct errlist *e);

#endif
