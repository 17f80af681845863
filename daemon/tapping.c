/* tapping.c: captures and traces under way, each for one peer of the control socket */
#include "config.h"

#include "daemon/tapping.h"

#include "base/log.h"
#include "base/magic.h"
#include "daemon/ctl_env.h"
#include "proxy/worker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#define TAPPING_MAGIC 0x7a991499u

struct tapping {
	MAGIC_MEMBER
	const struct ctl_env *env;
	struct tap *tap;
	struct event *deadline;
	const char *ended;	/* why; NULL: it goes on */
	uid_t by;		/* who asked */
	bool last_pulled;
	void (*more)(void *arg);
	void *arg;
};

static const char *
tapping_kind(const struct tapping *t)
{
	return tap_wanted(t->tap)->kind == TAP_CAPTURE ? "capture" : "trace";
}

static struct log_fields
tapping_fields(const struct tapping *t)
{
	return (struct log_fields){ .event = LOG_EVENT_CAPTURE, .has_by = true, .by = t->by };
}

/* Nothing more comes in. */
static void
tapping_over(struct tapping *t, const char *why)
{
	struct tap_count *c = tap_counts(t->tap);

	if (t->ended != NULL)
		return;
	t->ended = why;
	event_del(t->deadline);
	tap_end(t->tap);
	for (size_t i = 0; i < t->env->nworkers; i++)
		worker_tap(t->env->workers[i], t->tap, false);
	log_about(LOG_LEVEL_WARN, tapping_fields(t), "%s of %s ended: %s; %u connections, %" PRIu64
	    " bytes, %" PRIu64 " records lost", tapping_kind(t), tap_wanted(t->tap)->who.text, why,
	    c->total, c->bytes, c->lost);
}

/* Where one connection alone is meant: is it over, or was there never one? */
static void
look_at_one(struct tapping *t)
{
	struct tap_count *c = tap_counts(t->tap);

	if (!who_is_one(&tap_wanted(t->tap)->who))
		return;
	if (c->total > 0 && c->live == 0)
		tapping_over(t, "connection");
	else if (c->total == 0 && c->looked == t->env->nworkers)
		tapping_over(t, "no such connection");
}

static void
more_cb(void *arg)
{
	struct tapping *t = arg;

	MAGIC_CHECK(t, TAPPING_MAGIC);
	look_at_one(t);
	t->more(t->arg);
}

static void
deadline_cb(evutil_socket_t fd, short what, void *arg)
{
	struct tapping *t = arg;

	(void)fd;
	(void)what;
	MAGIC_CHECK(t, TAPPING_MAGIC);
	tapping_over(t, "time");
	t->more(t->arg);
}

struct tapping *
tapping_new(const struct ctl_env *env, const struct tap_want *want, uint64_t for_ms, uid_t by,
    void (*more)(void *arg), void *arg, const char **why)
{
	const struct timeval tv = { (time_t)(for_ms / 1000), (suseconds_t)(for_ms % 1000 * 1000) };
	struct tapping *t = calloc(1, sizeof(*t));

	*why = "out of memory";
	if (t == NULL)
		return NULL;
	MAGIC_SET(t, TAPPING_MAGIC);
	t->env = env;
	t->by = by;
	t->more = more;
	t->arg = arg;
	t->tap = tap_new(want, env->mailbox, more_cb, t);
	t->deadline = evtimer_new(env->base, deadline_cb, t);
	if (t->tap == NULL || t->deadline == NULL || event_add(t->deadline, &tv) == -1) {
		if (t->deadline != NULL)
			event_free(t->deadline);
		tap_unref(&t->tap);
		MAGIC_CLEAR(t);
		free(t);
		return NULL;
	}
	/* Who looks at whose bytes is written down before the first of them. */
	log_about(LOG_LEVEL_WARN, tapping_fields(t), "%s of %s%s begins, for %" PRIu64
	    " s: asked by uid %u", tapping_kind(t), want->who.text,
	    want->heads ? " (headers alone)" : "", for_ms / 1000, (unsigned)by);
	for (size_t i = 0; i < env->nworkers; i++)
		worker_tap(env->workers[i], t->tap, true);
	return t;
}

bool
tapping_ready(const struct tapping *t)
{
	return t->ended != NULL || tap_counts(t->tap)->looked == t->env->nworkers;
}

bool
tapping_is_over(const struct tapping *t)
{
	return t->ended != NULL;
}

void
tapping_stop(struct tapping *t)
{
	tapping_over(t, "stopped");
}

void
tapping_free(struct tapping **tp)
{
	struct tapping *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	tapping_over(t, "abandoned");
	event_free(t->deadline);
	tap_unref(&t->tap);
	MAGIC_CLEAR(t);
	free(t);
}

static void
block_free(const void *bytes, size_t len, void *arg)
{
	(void)bytes;
	(void)len;
	free(arg);
}

/* {"time_us":..., "connection":12, "event":"route", "text":"..."} */
static void
add_event(struct evbuffer *out, const struct tap_block *b)
{
	const char *event = (const char *)b->bytes + TAPMSG_HDR_LEN;
	struct tapmsg m;
	json_t *o = json_object();
	size_t n;
	char *line;

	if (tapmsg_get(&m, b->bytes) == 0 && m.kind == TAPMSG_TEXT &&
	    (n = strnlen(event, m.len)) < m.len) {
		char *text = strndup(event + n + 1, m.len - n - 1);

		jset_int(o, "time_us", m.time_us);
		jset_int(o, "connection", m.conn);
		jset_text(o, "event", event);
		jset_text(o, "text", text == NULL ? "" : text);
		free(text);
		line = json_dumps(o, JSON_COMPACT);
		if (line != NULL)
			evbuffer_add_printf(out, "%s\n", line);
		free(line);
	}
	json_decref(o);
}

static json_t *
end_report(struct tapping *t)
{
	struct tap_count *c = tap_counts(t->tap);
	json_t *o = json_object();

	jset_text(o, "ended", t->ended);
	jset_int(o, "connections", c->total);
	jset_int(o, "records", c->records);
	jset_int(o, "bytes", c->bytes);
	jset_int(o, "lost", c->lost);
	jset_int(o, "lost_bytes", c->lost_bytes);
	return o;
}

static void
add_end(struct tapping *t, struct evbuffer *out)
{
	json_t *o = end_report(t);
	char *text = json_dumps(o, JSON_COMPACT);
	struct tapmsg m = { .kind = TAPMSG_END, .len = text == NULL ? 0 : (uint32_t)strlen(text) };
	uint8_t head[TAPMSG_HDR_LEN];

	json_decref(o);
	if (tap_wanted(t->tap)->kind == TAP_CAPTURE) {
		tapmsg_put(head, &m);
		evbuffer_add(out, head, sizeof(head));
	}
	if (text != NULL)
		evbuffer_add(out, text, strlen(text));
	if (tap_wanted(t->tap)->kind == TAP_TRACE)
		evbuffer_add(out, "\n", 1);
	free(text);
}

bool
tapping_pull(struct tapping *t, struct evbuffer *out)
{
	struct tap_blocks got = STAILQ_HEAD_INITIALIZER(got);
	struct tap_block *b;

	tap_take(t->tap, &got);
	while ((b = STAILQ_FIRST(&got)) != NULL) {
		STAILQ_REMOVE_HEAD(&got, entry);
		if (tap_wanted(t->tap)->kind == TAP_TRACE) {
			add_event(out, b);
			free(b);
		} else if (evbuffer_add_reference(out, b->bytes, b->len, block_free, b) == -1) {
			free(b);
		}
	}
	if (t->ended != NULL && !t->last_pulled) {
		t->last_pulled = true;
		add_end(t, out);
	}
	return t->ended == NULL;
}
