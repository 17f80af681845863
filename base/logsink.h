/* logsink.h: where log lines go: stderr or syslog, and never a wait for whoever reads them */
#ifndef BASE_LOGSINK_H
#define BASE_LOGSINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/logline.h"

/*
 * A reader that hangs costs lines and never time: what the kernel does not take at once is dropped
 * and counted, and a line says how many: in front of the next one that gets through, or by itself
 * when logsink_catch_up() is called.
 * The pipe or socket is the only queue, so what waits is bounded. A regular file is written as it
 * is: nobody reads it late.
 */
struct logsink {
	int fd;				/* of stderr, or connected to syslog; -1: neither */
	bool syslog;
	bool socket;			/* stderr is one, as under systemd */
	bool poll;			/* stderr may block: it is asked before each line */
	struct logline_style style;	/* of stderr, and of syslog but for the time and colour */
	_Atomic unsigned long dropped;	/* since the last line that got through */
	atomic_bool torn;		/* a part of a line got through */
};

/*
 * Never fails: 0, or -1 where syslog was wanted and is not there (errno); then lines go to stderr
 * until it is. Before the first thread, and before privileges are dropped. What stderr is decides
 * on the style: the journal gets a priority, a terminal and a file a time, a terminal colour; a
 * pipe is read by a program that adds what it wants.
 */
int logsink_open(struct logsink *s, bool use_syslog, enum log_format format);

/* Back to a bare stderr. */
void logsink_close(struct logsink *s);

/*
 * One line of len bytes, newline included, from any thread. priority is syslog's; `text` is where
 * the line begins for syslog, which has a level of its own. False: nobody will read it.
 */
bool logsink_write(struct logsink *s, int priority, const char *line, size_t len, size_t text);

/* Says how many lines were dropped, if any were. False: nobody reads them yet. */
bool logsink_catch_up(struct logsink *s);

#endif
