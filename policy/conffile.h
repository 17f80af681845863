/* conffile.h: what both configuration files share: parsing with every error collected, values with units, paths */
#ifndef POLICY_CONFFILE_H
#define POLICY_CONFFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <confuse.h>

#include "policy/conftext.h"

struct errlist;

/*
 * One option: every value is a string to libconfuse and is checked here as it is met, so that an
 * error knows its line and does not hide the ones behind it.
 */
enum setting_kind {
	SETTING_TEXT,		/* not empty */
	SETTING_NUMBER,
	SETTING_DURATION,	/* to milliseconds */
	SETTING_SECONDS,	/* the same, but whole seconds alone */
	SETTING_SPEED,		/* to bits per second */
	SETTING_BOOL,
	SETTING_WORD,		/* one of words, to its index */
	SETTING_ADDR,
	SETTING_ADDRPORT,
	SETTING_PREFIX,
};

struct setting {
	const char *section;	/* "root" for the top level */
	const char *name;
	enum setting_kind kind;
	uint64_t min, max;	/* numbers, durations (ms), speeds */
	const char *const *words;	/* SETTING_WORD: NULL-terminated */
};

/* Where a value stands in its file. */
struct conffile_value {
	const cfg_opt_t *opt;
	unsigned n;
	int line;
};

/* One file as it was parsed: what was said wrongly is in the list of errors and left out here. */
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
 * The first option of each section: nobody can write it, and libconfuse notes in it the line where
 * the section begins. none: an array with CFG_END() alone.
 */
#define CONFFILE_BEGIN "\1"
#define CONFFILE_BEGIN_OPT(none) CFG_SEC(CONFFILE_BEGIN, none, CFGF_NONE)

/*
 * Parses a whole file (read into memory first) with the options opts, whose strings have
 * conffile_check as their callback. settings: NULL-terminated by its section. All errors go to *e,
 * in the order of their lines. 0: there is something to look at in f->cfg, good or bad; -1: nothing
 * could be read. The caller ends f in both cases. Not for two threads at once: libconfuse's scanner
 * is global, and reset by conffile_fini().
 */
int conffile_parse(struct conffile *f, const char *path, cfg_opt_t *opts,
    const struct setting *settings, struct errlist *e);
void conffile_fini(struct conffile *f);
int conffile_check(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result);

/* Values that have passed their check. dflt where the option was not given. */
uint64_t conffile_uint(const struct conffile *f, cfg_t *sec, const char *name, uint64_t dflt);

/* The line of the n-th value of an option, or that where the section begins; that itself. */
int conffile_line(const struct conffile *f, cfg_t *sec, const char *name, unsigned n);
int conffile_begin(cfg_t *sec);

/* Is the option (or section) missing, and not lost in a part that could not be understood? */
bool conffile_lacks(const struct conffile *f, cfg_t *sec, const char *name);

/*
 * "25G", "2.5G", "100M", "1000000000" to bits per second; "15m", "2s", "500ms" to milliseconds.
 * What is too large is UINT64_MAX; -1 where it is none at all.
 */
int conffile_speed(uint64_t *dst, const char *text) __attribute__((warn_unused_result));
int conffile_duration(uint64_t *dst_ms, const char *text) __attribute__((warn_unused_result));
/* The other way, with the largest unit that fits. */
#define CONFFILE_STRLEN 32
const char *conffile_duration_str(uint64_t ms, char dst[CONFFILE_STRLEN]);
/* 1..63 of letters, digits, '.', '_', '-'. */
bool conffile_name(const char *text);

/* path from the root on: a program that leaves its working directory still finds it. */
char *conffile_absolute(const char *path);

/* path as it is when absolute, else joined with the directory of file. The caller frees it. */
char *conffile_path(const char *file, const char *path);

#endif
