/* conftext.h: a configuration file's text: comments blanked, broken places passed over */
#ifndef POLICY_CONFTEXT_H
#define POLICY_CONFTEXT_H

#include <stdbool.h>
#include <stddef.h>

struct errlist;

/* Places that can be passed over in one file. */
#define CONFTEXT_LOST_MAX 64

/*
 * What libconfuse is given instead of the file. Lines keep their numbers: what is taken out is
 * overwritten with spaces.
 */
struct conftext {
	char *text;
	char *whole;		/* as it was before anything was taken out */
	int unclosed;		/* the line of a brace that is never closed, 0 = none */
	size_t nlost;
	struct {
		int from, to;	/* lines, both included */
	} lost[CONFTEXT_LOST_MAX];
};

/*
 * Reads the file and makes it fit for the parser, with an error for everything that the parser
 * would misunderstand: it counts the lines of comments wrongly, takes a comment, string or section
 * that never ends for one that does, and drops characters that it does not know. given: the text to
 * take in place of the file's; NULL: none. -1 when the file cannot be read.
 */
int conftext_load(struct conftext *t, const char *path, const char *given, struct errlist *e);
void conftext_fini(struct conftext *t);

/*
 * The line to blame where the parser gave up in `line` with the reason *why_r: the one before,
 * when that is left unfinished. *why_r may be replaced by a better text.
 */
int conftext_blame(const struct conftext *t, int line, const char **why_r);

/* Is there nothing from this line on? Then an error there says only that the file has ended. */
bool conftext_ends(const struct conftext *t, int line);

/*
 * Takes out what stands on a line, with the section or list that begins there, so that the next
 * parse goes past it. False when there is nothing that can be taken out.
 */
bool conftext_pass(struct conftext *t, int line);

/* Was anything taken out between these lines? Then what is missing there may have been in it. */
bool conftext_lost(const struct conftext *t, int from, int to);

#endif
