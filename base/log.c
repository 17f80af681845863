/* log.c: levelled log lines to stderr or syslog */
#include "config.h"

#include "base/log.h"

#include "base/addr.h"
#include "base/logsink.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* A line longer than this is cut: long enough for an error with a path and a reason. */
#define LINE_MAX_LEN 1024

/* What a line about a connection begins with: the names of nodes are short. */
#define LOG_PREFIX_MAX 192

/* Enough to see what happens, too few to fill a disk or to slow a worker down. */
#define BUDGET_LINES 100
#define BUDGET_MS 1000

/* The one setting of the process: written by log_open() before threads exist, then only read. */
static struct {
	struct logsink to;
	enum log_level max;
} sink = { .to = { .fd = STDERR_FILENO }, .max = LOG_LEVEL_INFO };

static const struct {
	const char *word;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARN] = { "warning", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

bool
log_wants(enum log_level level)
{
	return level <= sink.max;
}

static void __attribute__((format(printf, 3, 0)))
emit(enum log_level level, const char *prefix, const char *fmt, va_list ap)
{
	/* One byte behind the text and its NUL is left for the newline. */
	char line[LINE_MAX_LEN + 2];
	int saved = errno, head, n;
	size_t len;

	if (level > sink.max)
		return;
	head = snprintf(line, LINE_MAX_LEN, "%s: %s", levels[level].word, prefix);
	/* "%m" in fmt means the caller's errno. */
	errno = saved;
	n = vsnprintf(line + head, LINE_MAX_LEN - (size_t)head, fmt, ap);
	if (n < 0) {
		errno = saved;
		return;
	}
	len = strlen(line);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if (c < 0x20 || c == 0x7f)
			line[i] = '?';
	}
	line[len] = '\n';
	logsink_write(&sink.to, levels[level].priority, line, len + 1,
	    strlen(levels[level].word) + strlen(": "));
	errno = saved;
}

int
log_open(bool use_syslog, enum log_level max)
{
	sink.max = max;
	return logsink_open(&sink.to, use_syslog);
}

bool
log_has_syslog(void)
{
	return sink.to.syslog;
}

void
log_close(void)
{
	logsink_close(&sink.to);
}

void
log_catch_up(void)
{
	logsink_catch_up(&sink.to);
}

void
log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_ERROR, "", fmt, ap);
	va_end(ap);
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_WARN, "", fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_INFO, "", fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_DEBUG, "", fmt, ap);
	va_end(ap);
}

void
log_conn(enum log_level level, struct log_conn c, const char *fmt, ...)
{
	char prefix[LOG_PREFIX_MAX], client[ADDR_STRLEN];
	va_list ap;

	if (!log_wants(level))
		return;
	snprintf(prefix, sizeof(prefix), "conn %" PRIu64 " %s%s%s: ", c.id,
	    addrport_str(c.client, client), c.node != NULL ? " > " : "",
	    c.node != NULL ? c.node : "");
	va_start(ap, fmt);
	emit(level, prefix, fmt, ap);
	va_end(ap);
}

bool
log_allow(struct log_limit *l, uint64_t now_ms, unsigned *suppressed)
{
	if (now_ms - l->window_ms >= BUDGET_MS) {
		l->window_ms = now_ms;
		l->used = 0;
	}
	if (l->used >= BUDGET_LINES) {
		if (l->suppressed < UINT_MAX)
			l->suppressed++;
		*suppressed = 0;
		return false;
	}
	l->used++;
	*suppressed = l->suppressed;
	l->suppressed = 0;
	return true;
}
