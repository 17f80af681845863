/* conffile.h: what both configuration files share: parsing with every error collected, values with units, paths */
#ifndef POLICY_CONFFILE_H
#define POLICY_CONFFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <confuse.h>

struct errlist;

/*
 * One option: every value is a string to libconfuse and is checked here as it is met, so that an
 * error knows its line and does not hide the ones behind it.
 */
enum setting_kind {
	SETTING_TEXT,		/* not empty */
	SETTING_NUMBER,
	SETTING_DURATION,	/* to milliseconds */
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

/*
 * Parses a whole file (read into memory first) with the options opts, whose strings have
 * conffile_check as their callback. settings: NULL-terminated by its section. Returns the result,
 * good or bad: what was said wrongly is in *e and left out; NULL when nothing could be parsed. The
 * caller ends it with cfg_free(). Not for two threads at once: libconfuse's scanner is global.
 */
cfg_t *conffile_parse(const char *path, cfg_opt_t *opts, const struct setting *settings,
    struct errlist *e);
int conffile_check(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result);

/* Values that have passed their check. dflt where the option was not given. */
uint64_t conffile_uint(cfg_t *sec, const char *name, const struct setting *settings, uint64_t dflt);

/* "25G", "2.5G", "100M", "1000000000" to bits per second; "15m", "2s", "500ms" to milliseconds. */
int conffile_speed(uint64_t *dst, const char *text) __attribute__((warn_unused_result));
int conffile_duration(uint64_t *dst_ms, const char *text) __attribute__((warn_unused_result));
/* 1..63 of letters, digits, '.', '_', '-'. */
bool conffile_name(const char *text);

/* path from the root on: a program that leaves its working directory still finds it. */
char *conffile_absolute(const char *path);

/* path as it is when absolute, else joined with the directory of file. The caller frees it. */
char *conffile_path(const char *file, const char *path);

/* A whole regular file of at most max bytes with a NUL behind it, or NULL with a text. */
char *conffile_read(const char *path, size_t max, const char **why_r);

#endif
