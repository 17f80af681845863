/* logline.c: a log record as one line of text, logfmt or JSON */
#include "config.h"

#include "base/logline.h"

#include "base/addr.h"
#include "base/plain.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

/* What each value may have at most, escaped: all of them together are shorter than a line. */
#define MSG_BYTES 1800
#define USER_BYTES 400
#define REASON_BYTES 400
#define WORD_BYTES 96

static const struct {
	const char *word, *colour;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", "\033[31m", LOG_ERR },
	[LOG_LEVEL_WARN] = { "warning", "\033[33m", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", "", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", "\033[2m", LOG_DEBUG },
};

/* A line while it is made. */
struct line {
	char *p;
	size_t len;
	enum log_format format;
	bool has_fields;
};

const char *
log_event_str(enum log_event e)
{
	static const char *const names[] = {
#define EVENT(name, text, budget) [LOG_EVENT_##name] = (text),
#include "base/logevent.tbl.h"
#undef EVENT
	};

	return names[e];
}

unsigned
log_event_budget(enum log_event e)
{
	static const unsigned budgets[] = {
#define EVENT(name, text, budget) [LOG_EVENT_##name] = (budget),
#include "base/logevent.tbl.h"
#undef EVENT
	};

	return budgets[e];
}

const char *
log_level_str(enum log_level level)
{
	return levels[level].word;
}

int
log_level_parse(enum log_level *level, const char *text)
{
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(levels[i].word, text) != 0)
			continue;
		*level = (enum log_level)i;
		return 0;
	}
	return -1;
}

static const char *const formats[] = {
	[LOG_FORMAT_TEXT] = "text",
	[LOG_FORMAT_LOGFMT] = "logfmt",
	[LOG_FORMAT_JSON] = "json",
};

const char *
log_format_str(enum log_format format)
{
	return formats[format];
}

int
log_format_parse(enum log_format *format, const char *text)
{
	for (int i = LOG_FORMAT_TEXT; i <= LOG_FORMAT_JSON; i++) {
		if (strcmp(formats[i], text) != 0)
			continue;
		*format = (enum log_format)i;
		return 0;
	}
	return -1;
}

int
logline_priority(enum log_level level)
{
	return levels[level].priority;
}

static void
put(struct line *l, const char *s, size_t n)
{
	/* The limits of the values see to it that this never happens; the newline has its byte. */
	if (n > LOGLINE_MAX - 1 - l->len)
		n = LOGLINE_MAX - 1 - l->len;
	memcpy(l->p + l->len, s, n);
	l->len += n;
}

static void
put_text(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

/* So many bytes at s need no second look in any format. */
static size_t
plain_run(const char *s)
{
	/* One look a byte: each logon has a line. The end is in no row. */
	static const bool plain[UCHAR_MAX + 1] = {
		[' '] = true, ['!'] = true, ['#' ... '['] = true, [']' ... '~'] = true,
	};
	size_t n = 0;

	while (plain[(unsigned char)s[n]])
		n++;
	return n;
}

/* For people, on a terminal perhaps: what it could obey is not there. */
static void
put_plain(struct line *l, const char *s)
{
	uint32_t c;
	size_t n;

	for (; *s != '\0'; s += n) {
		n = plain_run(s);
		if (n > 0) {
			put(l, s, n);
			continue;
		}
		n = plain_char(s, &c);
		if (n == 0 || plain_is_control(c))
			put(l, "?", 1);
		else
			put(l, s, n);
		n = n == 0 ? 1 : n;
	}
}

/* One character as a JSON string has it, RFC 8259 7. */
static const char *
json_char(const char *s, size_t n, uint32_t c, char dst[8])
{
	if (n == 0)
		return "\xef\xbf\xbd";
	if (c == '"' || c == '\\')
		snprintf(dst, 8, "\\%c", (int)c);
	else if (c == '\n' || c == '\t' || c == '\r')
		snprintf(dst, 8, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
	else if (plain_is_control(c))
		snprintf(dst, 8, "\\u%04x", (unsigned)c);
	else
		snprintf(dst, 8, "%.*s", (int)n, s);
	return dst;
}

static void
put_quoted(struct line *l, const char *s, size_t max)
{
	const size_t end = l->len + 1 + max;
	char text[8];
	uint32_t c;
	size_t n;

	put(l, "\"", 1);
	for (; *s != '\0'; s += n) {
		const char *e;

		n = plain_run(s);
		if (n > 0) {
			n = n <= end - l->len ? n : end - l->len;
			if (n == 0)
				break;
			put(l, s, n);
			continue;
		}
		n = plain_char(s, &c);
		e = json_char(s, n, c, text);
		if (l->len + strlen(e) > end)
			break;
		put_text(l, e);
		n = n == 0 ? 1 : n;
	}
	put(l, "\"", 1);
}

/* What logfmt needs no quotes for. */
static bool
is_bare(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == '"' || *s == '=' || *s == '\\')
			return false;
	return true;
}

static void
put_key(struct line *l, const char *key)
{
	const bool json = l->format == LOG_FORMAT_JSON;

	if (l->has_fields)
		put(l, json ? "," : " ", 1);
	l->has_fields = true;
	put_text(l, json ? "\"" : "");
	put_text(l, key);
	put_text(l, json ? "\":" : "=");
}

/* NULL: it is not there. */
static void
put_value(struct line *l, const char *key, const char *s, size_t max)
{
	if (s == NULL)
		return;
	put_key(l, key);
	if (l->format == LOG_FORMAT_LOGFMT && is_bare(s) && strlen(s) <= max)
		put_text(l, s);
	else
		put_quoted(l, s, max);
}

static void
put_number(struct line *l, const char *key, uint64_t n)
{
	char text[24];

	put_key(l, key);
	snprintf(text, sizeof(text), "%" PRIu64, n);
	put_text(l, text);
}

static void
put_hex(struct line *l, const char *key, unsigned digits, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%0*" PRIx64, (int)digits, n);
	put_value(l, key, text, sizeof(text));
}

static void
put_addr(struct line *l, const char *key, const struct addrport *a)
{
	char text[ADDR_STRLEN];

	if (a != NULL)
		put_value(l, key, addrport_str(a, text), sizeof(text));
}

/* The last n digits of v, and what follows them. strftime() would be a tenth of a logon's line. */
static char *
put_digits(char *dst, int v, int n, char after)
{
	for (int i = n; i-- > 0; v /= 10)
		dst[i] = (char)('0' + v % 10);
	dst[n] = after;
	return dst + n + 1;
}

/* RFC 3339, in UTC: the clock of all who send their lines to one place. */
static void
time_str(const struct timespec *ts, char dst[40])
{
	struct tm tm;

	gmtime_r(&ts->tv_sec, &tm);
	dst = put_digits(dst, tm.tm_year + 1900, 4, '-');
	dst = put_digits(dst, tm.tm_mon + 1, 2, '-');
	dst = put_digits(dst, tm.tm_mday, 2, 'T');
	dst = put_digits(dst, tm.tm_hour, 2, ':');
	dst = put_digits(dst, tm.tm_min, 2, ':');
	dst = put_digits(dst, tm.tm_sec, 2, '.');
	dst = put_digits(dst, (int)(ts->tv_nsec / 1000000), 3, 'Z');
	*dst = '\0';
}

static void
put_fields(struct line *l, const struct log_record *r)
{
	const struct log_fields *f = r->fields;
	char when[40];

	time_str(&r->ts, when);
	put_value(l, "ts", when, sizeof(when));
	put_value(l, "level", levels[r->level].word, WORD_BYTES);
	put_value(l, "event", log_event_str(f->event), WORD_BYTES);
	put_value(l, "msg", r->msg, MSG_BYTES);
	if (f->id != 0)
		put_number(l, "conn", f->id);
	put_addr(l, "client", f->client);
	put_addr(l, "local", f->local);
	put_value(l, "listener", f->listener, WORD_BYTES);
	put_value(l, "node", f->node, WORD_BYTES);
	if (f->session != 0)
		put_hex(l, "session", 16, f->session);
	put_value(l, "user", f->user, USER_BYTES);
	put_value(l, "dialect", f->dialect, WORD_BYTES);
	put_value(l, "signing", f->signing, WORD_BYTES);
	put_value(l, "cipher", f->cipher, WORD_BYTES);
	put_value(l, "protection", f->protection, WORD_BYTES);
	put_value(l, "code", f->code, WORD_BYTES);
	put_value(l, "reason", f->reason, REASON_BYTES);
	if (f->status != 0)
		put_hex(l, "status", 8, f->status);
	if (f->has_by)
		put_number(l, "by", f->by);
	if (f->count != 0)
		put_number(l, "count", f->count);
}

/* "conn 12 10.1.0.7:50122 > n1: " */
static void
put_prefix(struct line *l, const struct log_fields *f)
{
	char text[192], client[ADDR_STRLEN];

	snprintf(text, sizeof(text), "conn %" PRIu64 " %s%s%s: ", f->id,
	    f->client == NULL ? "?" : addrport_str(f->client, client), f->node != NULL ? " > " : "",
	    f->node != NULL ? f->node : "");
	put_plain(l, text);
}

static void
put_people(struct line *l, const struct logline_style *style, const struct log_record *r,
    size_t *text)
{
	const char *colour = style->colour ? levels[r->level].colour : "";
	char when[40];

	if (style->time) {
		time_str(&r->ts, when);
		put_text(l, when);
		put(l, " ", 1);
	}
	put_text(l, colour);
	/* The journal has it as the priority, as syslog has. */
	if (!style->priority) {
		put_text(l, levels[r->level].word);
		put(l, ": ", 2);
	}
	*text = l->len;
	if (r->prefix)
		put_prefix(l, r->fields);
	put_plain(l, r->msg);
	put_text(l, *colour != '\0' ? "\033[0m" : "");
}

size_t
logline_make(char dst[LOGLINE_MAX], const struct logline_style *style, const struct log_record *r,
    size_t *text)
{
	struct line l = { .p = dst, .format = style->format };
	char priority[8];

	if (style->priority) {
		snprintf(priority, sizeof(priority), "<%d>", levels[r->level].priority);
		put_text(&l, priority);
	}
	*text = l.len;
	switch (style->format) {
	case LOG_FORMAT_TEXT:
		put_people(&l, style, r, text);
		break;
	case LOG_FORMAT_LOGFMT:
		put_fields(&l, r);
		break;
	case LOG_FORMAT_JSON:
		put(&l, "{", 1);
		put_fields(&l, r);
		put(&l, "}", 1);
		break;
	}
	dst[l.len] = '\n';
	return l.len + 1;
}
