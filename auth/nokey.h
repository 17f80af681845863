/* nokey.h: why there is no key of a session: a word of a closed list, and a text for people */
#ifndef AUTH_NOKEY_H
#define AUTH_NOKEY_H

#include <stdarg.h>

/* Whoever knows the reason names it, and it goes with its text from there on. */
enum nokey_cause {
	NOKEY_other,		/* its text has it */
#define NOKEY(word, fix) NOKEY_##word,
#include "auth/nokey.tbl.h"
#undef NOKEY
	NOKEY_CAUSES
};

#define NOKEY_TEXT 160

struct nokey {
	enum nokey_cause cause;
	char text[NOKEY_TEXT];
};

void nokey_say(struct nokey *n, enum nokey_cause cause, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void nokey_vsay(struct nokey *n, enum nokey_cause cause, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* The word, and what to do; NULL of NOKEY_other. */
const char *nokey_word(enum nokey_cause cause);
const char *nokey_fix(enum nokey_cause cause);

#endif
