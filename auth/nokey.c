/* nokey.c: why there is no key of a session: a word of a closed list, and a text for people */
#include "config.h"

#include "auth/nokey.h"

#include <stdio.h>

static const struct {
	const char *word, *fix;
} causes[NOKEY_CAUSES] = {
#define NOKEY(word, fix) [NOKEY_##word] = { #word, fix },
#include "auth/nokey.tbl.h"
#undef NOKEY
};

void
nokey_vsay(struct nokey *n, enum nokey_cause cause, const char *fmt, va_list ap)
{
	n->cause = cause;
	vsnprintf(n->text, sizeof(n->text), fmt, ap);
}

void
nokey_say(struct nokey *n, enum nokey_cause cause, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	nokey_vsay(n, cause, fmt, ap);
	va_end(ap);
}

const char *
nokey_word(enum nokey_cause cause)
{
	return causes[cause].word;
}

const char *
nokey_fix(enum nokey_cause cause)
{
	return causes[cause].fix;
}
