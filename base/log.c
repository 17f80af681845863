/* log.c: levelled log lines to stderr or syslog */
#include "config.h"

#include "base/log.h"

#include "base/clock.h"
#include "base/logline.h"
#include "base/logsink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BUDGET_MS 1000

/* What is written of one event, by all threads. */
struct budget {
	_Atomic uint64_t since_ms;	/* its second */
	_Atomic unsigned used;		/* of it, or more */
	_Atomic uint64_t unsaid;	/* lines left out since that was said last */
	_Atomic uint64_t lost;		/* lines in no log, since the start */
};

/* The one setting of the process: written by log_open() before threads exist. */
static struct {
	struct logsink to;
	_Atomic enum log_level max;
	struct budget budgets[LOG_EVENTS];
} sink = { .to = { .fd = STDERR_FILENO }, .max = LOG_LEVEL_INFO };

bool
log_wants(enum log_level level)
{
	return level <= atomic_load_explicit(&sink.max, memory_order_relaxed);
}

static bool
within_budget(enum log_event e)
{
	const unsigned most = log_event_budget(e);
	struct budget *b = &sink.budgets[e];
	uint64_t now, since;

	if (most == 0)
		return true;
	now = clock_ms();
	since = atomic_load(&b->since_ms);
	/* Another thread's now may be a little later than ours. */
	if (now > since && now - since >= BUDGET_MS &&
	    atomic_compare_exchange_strong(&b->since_ms, &since, now))
		atomic_store(&b->used, 0);
	if (atomic_fetch_add(&b->used, 1) < most)
		return true;
	atomic_fetch_add(&b->unsaid, 1);
	atomic_fetch_add(&b->lost, 1);
	return false;
}

/* False: nobody will read it. */
static bool __attribute__((format(printf, 4, 0)))
emit(enum log_level level, const struct log_fields *f, bool prefix, const char *fmt, va_list ap)
{
	char msg[LOGLINE_MSG_MAX], line[LOGLINE_MAX];
	struct log_record r = { .level = level, .fields = f, .prefix = prefix, .msg = msg };
	bool written = true;
	int saved = errno;
	size_t len, text;

	/* "%m" in fmt means the caller's errno. */
	if (vsnprintf(msg, sizeof(msg), fmt, ap) >= 0) {
		clock_gettime(CLOCK_REALTIME, &r.ts);
		len = logline_make(line, &sink.to.style, &r, &text);
		written = logsink_write(&sink.to, logline_priority(level), line, len, text);
		if (!written)
			atomic_fetch_add(&sink.budgets[f->event].lost, 1);
	}
	errno = saved;
	return written;
}

static const struct log_fields nothing;

int
log_open(bool use_syslog, enum log_format format, enum log_level max)
{
	log_set_level(max);
	return logsink_open(&sink.to, use_syslog, format);
}

void
log_set_level(enum log_level max)
{
	atomic_store(&sink.max, max);
}

enum log_level
log_get_level(void)
{
	return atomic_load(&sink.max);
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
log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_ERROR, &nothing, false, fmt, ap);
	va_end(ap);
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(LOG_LEVEL_WARN))
		return;
	va_start(ap, fmt);
	emit(LOG_LEVEL_WARN, &nothing, false, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(LOG_LEVEL_INFO))
		return;
	va_start(ap, fmt);
	emit(LOG_LEVEL_INFO, &nothing, false, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(LOG_LEVEL_DEBUG))
		return;
	va_start(ap, fmt);
	emit(LOG_LEVEL_DEBUG, &nothing, false, fmt, ap);
	va_end(ap);
}

static bool
may(enum log_level level, enum log_event e)
{
	return log_wants(level) && (level == LOG_LEVEL_DEBUG || within_budget(e));
}

void
log_about(enum log_level level, struct log_fields f, const char *fmt, ...)
{
	va_list ap;

	if (!may(level, f.event))
		return;
	va_start(ap, fmt);
	emit(level, &f, false, fmt, ap);
	va_end(ap);
}

void
log_conn(enum log_level level, struct log_fields f, const char *fmt, ...)
{
	va_list ap;

	if (!may(level, f.event))
		return;
	va_start(ap, fmt);
	emit(level, &f, true, fmt, ap);
	va_end(ap);
}

static bool __attribute__((format(printf, 3, 4)))
say(enum log_level level, const struct log_fields *f, const char *fmt, ...)
{
	bool written;
	va_list ap;

	va_start(ap, fmt);
	written = emit(level, f, false, fmt, ap);
	va_end(ap);
	return written;
}

/* How many lines of e were left out is owed until a reader has it. */
static void
say_left_out(enum log_event e)
{
	const uint64_t n = atomic_exchange(&sink.budgets[e].unsaid, 0);
	const struct log_fields f = {
		.event = LOG_EVENT_SUPPRESSED,
		.count = n,
		.code = log_event_str(e),
	};

	/* What wants errors alone has this as well: nothing is missing silently. */
	if (n > 0 && !say(log_wants(LOG_LEVEL_WARN) ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, &f,
	    "%" PRIu64 " lines left out: more than %u of \"%s\" in a second", n,
	    log_event_budget(e), log_event_str(e)))
		atomic_fetch_add(&sink.budgets[e].unsaid, n);
}

void
log_catch_up(void)
{
	if (!logsink_catch_up(&sink.to))
		return;
	for (int e = LOG_EVENT_NONE + 1; e < LOG_EVENTS; e++)
		say_left_out((enum log_event)e);
}

uint64_t
log_suppressed(enum log_event e)
{
	return atomic_load(&sink.budgets[e].lost);
}
