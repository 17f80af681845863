/* logline.h: a log record as one line of text, logfmt or JSON */
#ifndef BASE_LOGLINE_H
#define BASE_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/logrecord.h"

/* Longer than any line, newline included, and not longer than PIPE_BUF: a pipe takes it whole. */
#define LOGLINE_MAX 4096
/* Of the text; what is longer is cut. */
#define LOGLINE_MSG_MAX 1024

/* How a line begins, and looks, for its reader. */
struct logline_style {
	enum log_format format;
	bool priority;			/* "<6>": of sd-daemon(3) */
	bool time;			/* text alone; the others always have it */
	bool colour;			/* the same */
};

/*
 * The line's length, newline included; it has no NUL. Whatever bytes the fields have, it is one
 * line of UTF-8, and a good one of its format: what is no UTF-8 becomes U+FFFD, or "?" in text, and
 * control characters are escaped, or "?" in text. *text: where it begins for syslog, which has a
 * level of its own.
 */
size_t logline_make(char dst[LOGLINE_MAX], const struct logline_style *style,
    const struct log_record *r, size_t *text);

/* syslog's priority of a level. */
int logline_priority(enum log_level level);

#endif
