/* log.h: levelled log lines to stderr or syslog */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

struct addrport;

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/*
 * Where lines go is set once, before the first thread is started, and never changed after. A line
 * is formatted completely and written with one system call, so lines of threads never mix, and
 * never waits for its reader: see base/logsink.h. Control bytes (a hostile name in a message) are
 * replaced before they reach the log. 0, or -1 with errno: there is no syslog, and lines go to
 * stderr in its place.
 */
int log_open(bool use_syslog, enum log_level max);

bool log_has_syslog(void);

/* Back to a bare stderr: before descriptors are closed that nobody here knows by name. */
void log_close(void);

/* Says now how many lines were dropped because nobody read them, not with the next line. */
void log_catch_up(void);

/* Would a line of that level go anywhere? For those whose text is dear. */
bool log_wants(enum log_level level);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The connection that a line is about. */
struct log_conn {
	uint64_t id;
	const struct addrport *client;
	const char *node;	/* NULL: it has none yet */
};

/* A line about one connection, behind the one prefix there is: "conn 12 10.1.0.7:50122 > n1: ". */
void log_conn(enum log_level level, struct log_conn c, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * A budget for one class of lines that others can cause (closed connections, refused packets).
 * It belongs to one thread. log_allow() says whether a line may be written now (now_ms as of
 * clock_ms()); after a silent stretch it stores in *suppressed how many were left out since the
 * last line, else 0.
 */
struct log_limit {
	uint64_t window_ms;
	unsigned used;
	unsigned suppressed;
};

bool log_allow(struct log_limit *l, uint64_t now_ms, unsigned *suppressed);

#endif
