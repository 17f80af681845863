/* conffile.h: what both configuration files share: all errors collected, values, paths */
#ifndef POLICY_CONFFILE_H
#define POLICY_CONFFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <confuse.h>

#include "policy/conftext.h"

struct errlist;
struct setting;

/* Where a value stands in its file. */
struct conffile_value {
	const cfg_opt_t *opt;
	unsigned n;
	int line;
};

/* One file as it was parsed: what is wrong is in the list of errors and left out here. */
struct conffile {
	const char *path;		/* borrowed, as are settings */
	const struct setting *settings;
	cfg_t *cfg;
	struct conftext text;
	bool stopped;			/* the parse did not come to the end */
	size_t nvalues;
	struct conffile_value *values;
	bool full;
};

/*
 * The options of a section for libconfuse, out of a table of settings. Every value is a string to
 * libconfuse and is checked as it is met, so that an error knows its line and does not hide those
 * behind it. The first option of each section but the root is CONFFILE_BEGIN: nobody can write it,
 * and libconfuse notes in it the line where the section begins.
 */
#define CONFFILE_BEGIN "\1"
#define CONFFILE_OPTIONS_MAX 24
struct conffile_section {
	cfg_opt_t none[1];
	cfg_opt_t opts[CONFFILE_OPTIONS_MAX];
};

/* inner: the sections within this one, ended by CFG_END(); NULL: none. */
void conffile_section(struct conffile_section *sec, const struct setting *settings,
    const char *name, const cfg_opt_t *inner);

/*
 * Parses a whole file (read into memory first, unless its text is given: NULL: it is not) with the
 * options opts, made of settings. All errors
 * go to *e, in the order of their lines. 0: there is something to look at in f->cfg, good or bad;
 * -1: nothing could be read. The caller ends f in both cases. Not for two threads at once:
 * libconfuse's scanner is global, and reset by conffile_fini().
 */
int conffile_parse(struct conffile *f, const char *path, const char *given, cfg_opt_t *opts,
    const struct setting *settings, struct errlist *e);
void conffile_fini(struct conffile *f);

/* The value of an option; its default where it was not given, or not rightly. */
uint64_t conffile_value(cfg_t *sec, const struct setting *s);
/*
 * Puts the values of a section into the fields of base, which the settings name. Texts are
 * allocated, paths made absolute by file. -1 when memory is out.
 */
int conffile_fill(const struct conffile *f, cfg_t *sec, const char *file, void *base)
    __attribute__((warn_unused_result));

/*
 * The line of the n-th value of an option, or that where the section begins; that itself, 0 of the
 * whole file.
 */
int conffile_line(const struct conffile *f, cfg_t *sec, const char *name, unsigned n);
int conffile_begin(cfg_t *sec);

/* Is the option (or section) missing, and not lost in a part that could not be understood? */
bool conffile_lacks(const struct conffile *f, cfg_t *sec, const char *name);

/* path made absolute: a program that leaves its working directory still finds it. NULL: errno. */
char *conffile_absolute(const char *path);

/* path as it is when absolute, else joined with the directory of file. The caller frees it. */
char *conffile_path(const char *file, const char *path);

#endif
