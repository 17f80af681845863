/* log.h: levelled log lines to stderr or syslog */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/logrecord.h"

/*
 * Where lines go, and as what, is set once, before the first thread is started, and never changed
 * after. A line is formatted completely and written with one system call, so lines of threads never
 * mix, and never waits for its reader: see base/logsink.h. Control bytes (a hostile name in a
 * message) are replaced before they reach the log. 0, or -1 with errno: there is no syslog, and
 * lines go to stderr in its place.
 */
int log_open(bool use_syslog, enum log_format format, enum log_level max);

/* The level can be changed at any time, from any thread. */
void log_set_level(enum log_level max);
enum log_level log_get_level(void);

bool log_has_syslog(void);

/* Back to a bare stderr: before descriptors are closed that nobody here knows by name. */
void log_close(void);

/*
 * Says how many lines were left out, of each event that was over its budget, and how many were
 * dropped because nobody read them. To be called each second, by one thread of a process.
 */
void log_catch_up(void);

/* So many lines of that event are in no log, for one of these reasons: since the start. */
uint64_t log_suppressed(enum log_event e);

/* Would a line of that level go anywhere? For those whose text is dear. */
bool log_wants(enum log_level level);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * A line of an event. All lines of it in this process share the event's budget for a second, but
 * for those of level debug, which only come for who wants all of them.
 */
void log_about(enum log_level level, struct log_fields f, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same about a connection; its text has the one prefix: "conn 12 10.1.0.7:50122 > n1: ". */
void log_conn(enum log_level level, struct log_fields f, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
