/* loglevel.c: how much is logged, changed by an operator, and for a while */
#include "config.h"

#include "daemon/loglevel.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/magic.h"
#include "base/tlv.h"
#include "daemon/ctl_env.h"
#include "daemon/ctl_later.h"
#include "daemon/guard.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

/* Longer than anybody looks, and no number that overflows. */
#define FOR_MAX_MS (7 * 86400 * 1000LL)

/* Types are never used again for something else. */
enum { LEVEL_USUAL = 1, LEVEL_NOW = 2, LEVEL_LEFT_MS = 3 };

#define LOGLEVEL_MAGIC 0x6c6f6c76u

struct loglevel {
	MAGIC_MEMBER
	struct guard *guard;
	enum log_level usual;		/* that it goes back to */
	bool said;			/* by an operator, not by smbgate.conf */
	struct event *back;
	uint64_t back_ms;		/* when it does; 0: it is there */
};

/* In all processes. The line is written at the more talkative of both levels. */
static void __attribute__((format(printf, 4, 5)))
change(const struct loglevel *l, enum log_level level, const struct log_fields *f, const char *fmt,
    ...)
{
	const enum log_level before = log_get_level();
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (level > before)
		log_set_level(level);
	log_about(LOG_LEVEL_INFO, *f, "%s", text);
	log_set_level(level);
	if (l->guard != NULL)
		guard_log_level(l->guard, level);
}

static void
loglevel_back_cb(evutil_socket_t fd, short what, void *arg)
{
	static const struct log_fields nobody = { .event = LOG_EVENT_NONE };
	struct loglevel *l = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(l, LOGLEVEL_MAGIC);
	l->back_ms = 0;
	change(l, l->usual, &nobody, "log-level is %s again", log_level_str(l->usual));
}

struct loglevel *
loglevel_new(struct event_base *base, struct guard *guard, enum log_level usual)
{
	struct loglevel *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	MAGIC_SET(l, LOGLEVEL_MAGIC);
	l->guard = guard;
	l->usual = usual;
	l->back = evtimer_new(base, loglevel_back_cb, l);
	if (l->back == NULL)
		loglevel_free(&l);
	return l;
}

void
loglevel_free(struct loglevel **lp)
{
	struct loglevel *l = *lp;

	if (l == NULL)
		return;
	if (l->back != NULL)
		event_free(l->back);
	MAGIC_CLEAR(l);
	free(l);
	*lp = NULL;
}

/* ms 0: from now on. */
static void
loglevel_set(struct loglevel *l, enum log_level level, int64_t ms, uid_t by)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 };
	const struct log_fields f = { .has_by = true, .by = (unsigned)by };

	event_del(l->back);
	l->back_ms = 0;
	if (ms == 0) {
		l->usual = level;
		l->said = true;
		change(l, level, &f, "log-level is %s, by the operator", log_level_str(level));
		return;
	}
	l->back_ms = clock_ms() + (uint64_t)ms;
	event_add(l->back, &tv);
	change(l, level, &f, "log-level is %s for %lld s, by the operator", log_level_str(level),
	    (long long)(ms + 999) / 1000);
}

void
loglevel_write(struct tlv_out *o, const struct loglevel *l, uint64_t now_ms)
{
	if (l->said)
		tlv_put_text(o, LEVEL_USUAL, log_level_str(l->usual));
	if (l->back_ms <= now_ms)
		return;
	tlv_put_text(o, LEVEL_NOW, log_level_str(log_get_level()));
	tlv_put_uint(o, LEVEL_LEFT_MS, l->back_ms - now_ms);
}

static void
get_level(struct tlv_in *in, enum log_level *level)
{
	char text[16];

	tlv_text(in, text, sizeof(text));
	if (!in->bad && log_level_parse(level, text) == -1)
		in->bad = true;
}

static void
start_level(struct loglevel *l, enum log_level level)
{
	log_set_level(level);
	if (l->guard != NULL)
		guard_log_level(l->guard, level);
}

int
loglevel_read(struct loglevel *l, const void *record, size_t n)
{
	enum log_level usual = l->usual, now = l->usual;
	struct tlv_in in = tlv_in(record, n);
	bool said = false;
	struct timeval tv;
	uint64_t ms = 0;

	while (tlv_next(&in)) {
		if (in.type == LEVEL_USUAL) {
			said = true;
			get_level(&in, &usual);
		} else if (in.type == LEVEL_NOW) {
			get_level(&in, &now);
		} else if (in.type == LEVEL_LEFT_MS) {
			ms = tlv_uint(&in, FOR_MAX_MS);
		} else {
			tlv_unknown(&in);
		}
	}
	if (in.bad)
		return -1;
	l->usual = usual;
	l->said = said;
	start_level(l, ms > 0 ? now : usual);
	if (ms == 0)
		return 0;
	tv = (struct timeval){ (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 };
	l->back_ms = clock_ms() + ms;
	event_add(l->back, &tv);
	return 0;
}

json_t *
loglevel_request(const struct ctl_env *env, const json_t *request, struct ctl_later *later)
{
	const char *text = json_string_value(json_object_get(request, "level"));
	const json_t *time = json_object_get(request, "for_ms");
	const json_int_t ms = json_integer_value(time);
	struct loglevel *l = env->loglevel;
	const uint64_t now = clock_ms();
	enum log_level level;
	json_t *o;

	if (text != NULL && log_level_parse(&level, text) == -1)
		return ctl_error("a level is error, warning, info or debug");
	if (time != NULL && (text == NULL || ms <= 0 || ms > FOR_MAX_MS))
		return ctl_error("for_ms goes with a level, and is a time of up to 7 days");
	if (text != NULL && ctl_too_late(env))
		return ctl_error(CTL_TAKING_OVER);
	if (text != NULL)
		loglevel_set(l, level, ms, later->by);
	o = json_object();
	jset_text(o, "level", log_level_str(log_get_level()));
	jset_text(o, "usual_level", log_level_str(l->usual));
	if (l->back_ms > now)
		jset_int(o, "back_in_s", (l->back_ms - now + 999) / 1000);
	else
		jset_text(o, "back_in_s", NULL);
	return o;
}
