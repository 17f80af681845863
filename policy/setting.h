/* setting.h: a row of a table of settings: kind, default, range, and the field that holds it */
#ifndef POLICY_SETTING_H
#define POLICY_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_kind {
	SETTING_TEXT,		/* not empty */
	SETTING_PATH,		/* the same; relative to the directory of the file */
	SETTING_NAME,		/* of a node, a listener or a cluster */
	SETTING_NUMBER,
	SETTING_DURATION,	/* in milliseconds */
	SETTING_SECONDS,	/* the same, but whole seconds only */
	SETTING_SPEED,		/* in bits per second */
	SETTING_SIZE,		/* in bytes */
	SETTING_BOOL,
	SETTING_WORD,		/* one of words, as its index: enums are in the order of the row */
	SETTING_DIALECT,	/* one of words, as SMB2's number for it */
	SETTING_ADDR,
	SETTING_ADDRPORT,
	SETTING_PREFIX,
};

#define SETTING_WORDS_MAX 5

struct setting {
	const char *section;	/* "root" for the top level; NULL ends a table */
	const char *name;
	enum setting_kind kind;
	bool list;
	const char *dflt;	/* as the file would have it; NULL: none, or 0 */
	uint64_t min, max;	/* numbers, times (ms), speeds, sizes */
	size_t offset, size;	/* of its field; size 0: it has none, or more than one */
	const char *words[SETTING_WORDS_MAX + 1];
};

/* How the tables settings.tbl.h and conf.tbl.h become rows. */
#define SETTING_ROW(section, name, type, field, kind, dflt, min, max, ...) \
	{ section, name, SETTING_##kind, false, dflt, min, max, offsetof(struct type, field), \
	  sizeof(((struct type *)0)->field), { __VA_ARGS__ } },
#define SETTING_LIST(section, name, kind) \
	{ section, name, SETTING_##kind, true, NULL, 0, 0, 0, 0, { NULL } },
#define SETTING_OTHER(section, name, kind) \
	{ section, name, SETTING_##kind, false, NULL, 0, 0, 0, 0, { NULL } },
#define SETTING_END { .section = NULL },

/* What names of nodes, listeners and clusters are made of. */
#define SETTING_NAME_RULE "a name has 1 to 63 letters, digits, '.', '_' or '-'"
bool setting_name(const char *text);

/* NULL if there is none of that name. */
const struct setting *setting_find(const struct setting *table, const char *section,
    const char *name);
/* The next row of a section that has a field, from s on; NULL behind the last one. */
const struct setting *setting_next(const struct setting *s, const char *section);

/* The value as a number, whatever the range; -1 if text is not of its kind. Addresses give 0. */
int setting_parse(const struct setting *s, uint64_t *dst, const char *text)
    __attribute__((warn_unused_result));
/* The other way, as the file would have it. */
#define SETTING_STRLEN 32
const char *setting_str(const struct setting *s, uint64_t value, char dst[SETTING_STRLEN]);
/* Does a value of this kind need quotes in the file? */
bool setting_is_quoted(const struct setting *s);
/* The name as a key: "pin_linger_ms". */
const char *setting_key(const struct setting *s, char dst[64]);

/* What is wrong with a value: true, and dst says it. */
bool setting_complaint(const struct setting *s, const char *text, char *dst, size_t n);

/* The field of a structure; of all kinds but texts. */
uint64_t setting_get(const struct setting *s, const void *base);
void setting_put(const struct setting *s, void *base, uint64_t value);
/* Puts the defaults of a section; texts are left alone. */
void setting_defaults(const struct setting *table, const char *section, void *base);
/* The field of a text. */
char **setting_text(const struct setting *s, void *base);
bool setting_is_text(const struct setting *s);

#endif
