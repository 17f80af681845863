/* logsink.h: where log lines go: stderr or syslog, and never a wait for whoever reads them */
#ifndef BASE_LOGSINK_H
#define BASE_LOGSINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A reader that hangs costs lines and never time: what the kernel does not take at once is dropped
 * and counted, and the next line that gets through has a line in front of it that says how many.
 * The pipe or socket is the only queue, so what waits is bounded. A regular file is written as it
 * is: nobody reads it late.
 */
struct logsink {
	int fd;				/* of stderr, or connected to syslog; -1: neither */
	bool syslog;
	bool socket;			/* stderr is one, as under systemd */
	bool poll;			/* stderr may block: it is asked before each line */
	_Atomic unsigned long dropped;	/* since the last line that got through */
	atomic_bool torn;		/* a part of a line got through */
};

/*
 * Never fails: 0, or -1 where syslog was wanted and is not there (errno); then lines go to stderr
 * until it is. Before the first thread, and before privileges are dropped.
 */
int logsink_open(struct logsink *s, bool use_syslog);

/* Back to a bare stderr. */
void logsink_close(struct logsink *s);

/*
 * One line of len bytes, newline included, from any thread. priority is syslog's; `text` is where
 * the line begins for syslog, which has a level of its own.
 */
void logsink_write(struct logsink *s, int priority, const char *line, size_t len, size_t text);

/* Says how many lines were dropped, if any were and the reader is back. */
void logsink_catch_up(struct logsink *s);

#endif
