/* tapped.c: a connection that is captured or traced: what is told of it, and to whom */
#include "config.h"

#include "proxy/tapped.h"

#include "inspect/whose.h"
#include "proxy/conn_priv.h"
#include "proxy/env.h"
#include "proxy/tap.h"
#include "proxy/tap_heads.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* One way over one leg, from the first whole frame on. */
struct stream {
	uint64_t offset;	/* of the next byte, from there */
	uint32_t skip;		/* bytes of a frame that was under way */
	struct tap_heads *heads;	/* if those are all that is wanted */
};

struct leg_streams {
	bool open;
	struct stream way[2];	/* by enum tapmsg_way */
};

struct viewer {
	struct tap *tap;	/* a reference */
	struct leg_streams leg[2];	/* by enum tapmsg_leg */
};

/* Few connections have one: it is found by the worker's table. */
struct tapped {
	LIST_ENTRY(tapped) entry;
	const struct conn *conn;
	enum conn_stage stage;	/* the last one that was told */
	bool copies;
	unsigned n;
	struct viewer by[TAPS_MAX];
};

static struct tapped_list *
bucket_of(const struct conn *c)
{
	/* Numbers of one worker differ by as many as there are workers. */
	return &c->env->tapped[c->mediate.self.conn_id / c->env->id_step % ENV_TAPPED];
}

/* NULL: nobody looks at it. */
static struct tapped *
tapped_of(const struct conn *c)
{
	struct tapped *t = NULL;

	if (c->tapped)
		LIST_FOREACH(t, bucket_of(c), entry)
			if (t->conn == c)
				break;
	return t;
}

/* NULL: memory is out. */
static struct tapped *
tapped_make(struct conn *c)
{
	struct tapped *t = tapped_of(c);

	if (t != NULL || (t = calloc(1, sizeof(*t))) == NULL)
		return t;
	t->conn = c;
	t->stage = c->stage;
	c->tapped = true;
	conn_set_plain(c);
	LIST_INSERT_HEAD(bucket_of(c), t, entry);
	return t;
}

static bool
is_capture(const struct viewer *v)
{
	return tap_wanted(v->tap)->kind == TAP_CAPTURE;
}

static void
put_bytes(const struct viewer *v, struct tapmsg *m, const uint8_t *p, size_t n, uint64_t offset)
{
	m->kind = TAPMSG_DATA;
	m->offset = offset;
	while (n > 0) {
		m->len = m->whole = (uint32_t)(n < TAPMSG_DATA_MAX ? n : TAPMSG_DATA_MAX);
		tap_put(v->tap, m, p);
		p += m->len;
		n -= m->len;
		m->offset += m->len;
	}
}

/* Frame by frame: of each its headers, with its length. */
static void
put_heads(const struct viewer *v, struct tapmsg *m, struct stream *s, const uint8_t *p, size_t n)
{
	struct tap_heads *const h = s->heads;

	while (n > 0) {
		size_t used = tap_heads_feed(h, p, n);

		p += used;
		n -= used;
		if (h->len == 0)
			continue;
		m->kind = TAPMSG_DATA;
		m->offset = s->offset;
		m->len = h->len;
		m->whole = h->whole;
		tap_put(v->tap, m, h->bytes);
		s->offset += h->whole;
	}
}

static void
put_stream(const struct conn *c, struct viewer *v, enum tapmsg_leg leg, enum tapmsg_way way,
    const uint8_t *p, size_t n)
{
	struct stream *s = &v->leg[leg].way[way];
	struct tapmsg m = {
		.leg = (uint8_t)leg,
		.way = (uint8_t)way,
		.conn = c->mediate.self.conn_id,
	};
	size_t skip = s->skip < n ? s->skip : n;

	s->skip -= (uint32_t)skip;
	p += skip;
	n -= skip;
	if (s->heads != NULL) {
		put_heads(v, &m, s, p, n);
	} else {
		put_bytes(v, &m, p, n, s->offset);
		s->offset += n;
	}
}

static void
put_all(const struct conn *c, enum tapmsg_leg leg, enum tapmsg_way way, const uint8_t *p, size_t n)
{
	struct tapped *t = tapped_of(c);

	for (unsigned i = 0; i < t->n; i++)
		if (t->by[i].leg[leg].open)
			put_stream(c, &t->by[i], leg, way, p, n);
}

void
tapped_received(const struct side *s, const uint8_t *p, size_t n)
{
	put_all(s->conn, s->dir == C2S ? TAPMSG_CLIENT : TAPMSG_NODE, TAPMSG_RECEIVED, p, n);
}

void
tapped_sent(const struct side *s, const uint8_t *p, size_t n)
{
	put_all(s->conn, s->dir == C2S ? TAPMSG_NODE : TAPMSG_CLIENT, TAPMSG_SENT, p, n);
}

static void
socket_ends(int fd, struct tapmsg_ends *e)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	*e = (struct tapmsg_ends){ .own = { .port = 0 } };
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		(void)!addrport_from_sa(&e->own, (struct sockaddr *)&ss);
	len = sizeof(ss);
	if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
		(void)!addrport_from_sa(&e->peer, (struct sockaddr *)&ss);
}

static void
leg_finish(struct leg_streams *l)
{
	free(l->way[TAPMSG_RECEIVED].heads);
	free(l->way[TAPMSG_SENT].heads);
	*l = (struct leg_streams){ .open = false };
}

/* -1: memory is out, which is counted. */
static int
leg_begin(struct viewer *v, enum tapmsg_leg leg)
{
	struct leg_streams *l = &v->leg[leg];

	leg_finish(l);
	for (int i = 0; tap_wanted(v->tap)->heads && i < 2; i++) {
		l->way[i].heads = calloc(1, sizeof(*l->way[i].heads));
		if (l->way[i].heads == NULL) {
			leg_finish(l);
			atomic_fetch_add(&tap_counts(v->tap)->lost, 1);
			return -1;
		}
	}
	l->open = true;
	return 0;
}

/* From here on; the frame that is under way in the pump of each way is left out. */
static void
open_leg(const struct conn *c, struct viewer *v, enum tapmsg_leg leg, bool fresh)
{
	const struct side *in = &c->side[leg == TAPMSG_CLIENT ? C2S : S2C], *out = side_other(in);
	const size_t owed = (size_t)in->pump.pass + in->pump.left, have = buf_len(&in->pump.in);
	struct tapmsg m = { .kind = TAPMSG_OPEN, .leg = (uint8_t)leg, .fresh = fresh,
		.conn = c->mediate.self.conn_id, .len = TAPMSG_ENDS_LEN };
	uint8_t data[TAPMSG_ENDS_LEN];
	struct tapmsg_ends ends = { .peer = c->mediate.self.client,
		.own = c->mediate.self.local };

	if (leg == TAPMSG_NODE)
		socket_ends(in->leg.edge.fd, &ends);
	tapmsg_ends_put(data, &ends);
	tap_put(v->tap, &m, data);
	if (leg_begin(v, leg) == -1)
		return;
	v->leg[leg].way[TAPMSG_SENT].skip = out->pump.pass + out->pump.left;
	if (have > owed)
		put_stream(c, v, leg, TAPMSG_RECEIVED, buf_head(&in->pump.in) + owed, have - owed);
	else
		v->leg[leg].way[TAPMSG_RECEIVED].skip = (uint32_t)(owed - have);
}

static bool
node_is_there(const struct conn *c)
{
	return c->side[S2C].leg.edge.fd != -1 && c->stage > CONN_CONNECT;
}

static void
view(struct conn *c, struct tapped *all, struct tap *t)
{
	struct viewer *v = &all->by[all->n++];

	*v = (struct viewer){ .tap = tap_ref(t) };
	atomic_fetch_add(&tap_counts(t)->live, 1);
	atomic_fetch_add(&tap_counts(t)->total, 1);
	if (!is_capture(v)) {
		c->mediate.traced = true;
		tapped_event(c, "begin", "in stage %s", conn_stage_str(c->stage));
		return;
	}
	all->copies = true;
	open_leg(c, v, TAPMSG_CLIENT, c->side[C2S].bytes == 0 && c->side[S2C].bytes == 0);
	if (node_is_there(c))
		open_leg(c, v, TAPMSG_NODE, false);
}

static bool
has_viewer(const struct conn *c, const struct tap *t)
{
	const struct tapped *all = tapped_of(c);

	for (unsigned i = 0; all != NULL && i < all->n; i++)
		if (all->by[i].tap == t)
			return true;
	return false;
}

void
tapped_match(struct conn *c)
{
	const struct guid *guid = NULL;
	struct tapped *all;
	struct guid g;

	/* A PROXY header is not the client's. */
	if (conn_over(c) || c->stage == CONN_HEADER)
		return;
	if (c->route.key.b[0] == STATE_KEY_GUID) {
		memcpy(g.b, c->route.key.b + 1, sizeof(g.b));
		guid = &g;
	}
	for (unsigned i = 0; i < c->env->ntaps; i++) {
		struct tap *t = c->env->taps[i];

		if (has_viewer(c, t) || !whose_is(&tap_wanted(t)->who, &c->mediate, guid))
			continue;
		all = tapped_make(c);
		if (all != NULL)
			view(c, all, t);
		else
			atomic_fetch_add(&tap_counts(t)->lost, 1);
	}
}

bool
tapped_copies(const struct conn *c)
{
	const struct tapped *t = tapped_of(c);

	return t != NULL && t->copies;
}

void
tapped_connected(struct conn *c)
{
	struct tapped *t = tapped_of(c);

	/* It may have been another node's before. */
	for (unsigned i = 0; t != NULL && i < t->n; i++)
		if (is_capture(&t->by[i]))
			open_leg(c, &t->by[i], TAPMSG_NODE, true);
}

static void __attribute__((format(printf, 3, 0)))
put_event(const struct conn *c, const char *event, const char *fmt, va_list ap)
{
	struct tapmsg m = { .kind = TAPMSG_TEXT, .conn = c->mediate.self.conn_id };
	const struct tapped *t = tapped_of(c);
	char text[640];
	int at = snprintf(text, sizeof(text), "%s", event) + 1;
	int n = vsnprintf(text + at, sizeof(text) - (size_t)at, fmt, ap);

	if (n < 0)
		return;
	m.len = (uint32_t)((size_t)at + strlen(text + at));
	for (unsigned i = 0; i < t->n; i++)
		if (!is_capture(&t->by[i]))
			tap_put(t->by[i].tap, &m, text);
}

void
tapped_event(const struct conn *c, const char *event, const char *fmt, ...)
{
	va_list ap;

	if (!c->mediate.traced)
		return;
	va_start(ap, fmt);
	put_event(c, event, fmt, ap);
	va_end(ap);
}

void
tapped_trace(void *arg, const char *event, const char *text)
{
	const struct conn *c = arg;

	MAGIC_CHECK(c, CONN_MAGIC);
	tapped_event(c, event, "%s", text);
}

void
tapped_stage(const struct conn *c)
{
	struct tapped *t = tapped_of(c);

	if (t == NULL || t->stage == c->stage)
		return;
	t->stage = c->stage;
	tapped_event(c, "stage", "%s", conn_stage_str(c->stage));
}

static void
unview(struct conn *c, unsigned i)
{
	struct tapped *all = tapped_of(c);
	struct viewer *v = &all->by[i];

	atomic_fetch_sub(&tap_counts(v->tap)->live, 1);
	tap_wake(v->tap);
	tap_unref(&v->tap);
	leg_finish(&v->leg[TAPMSG_CLIENT]);
	leg_finish(&v->leg[TAPMSG_NODE]);
	*v = all->by[--all->n];
	all->copies = c->mediate.traced = false;
	for (unsigned k = 0; k < all->n; k++) {
		all->copies |= is_capture(&all->by[k]);
		c->mediate.traced |= !is_capture(&all->by[k]);
	}
	if (all->n > 0)
		return;
	LIST_REMOVE(all, entry);
	free(all);
	c->tapped = false;
	conn_set_plain(c);
}

void
tapped_end(struct conn *c, enum close_reason why)
{
	const char *text = close_text(why);
	struct tapmsg m = {
		.kind = TAPMSG_CLOSE,
		.conn = c->mediate.self.conn_id,
		.len = (uint32_t)strlen(text),
	};

	tapped_event(c, "closed", "%s", text);
	while (c->tapped) {
		const struct viewer *v = &tapped_of(c)->by[0];

		if (is_capture(v))
			tap_put(v->tap, &m, text);
		unview(c, 0);
	}
}

void
tapped_add(struct conn_env *env, struct tap *t)
{
	struct conn *c;

	if (env->ntaps < TAPS_MAX) {
		env->taps[env->ntaps++] = tap_ref(t);
		TAILQ_FOREACH(c, &env->conns, entry)
			tapped_match(c);
	}
	atomic_fetch_add(&tap_counts(t)->looked, 1);
	tap_wake(t);
}

void
tapped_remove(struct conn_env *env, const struct tap *t)
{
	const struct tapped *all;
	struct conn *c;
	unsigned i;

	TAILQ_FOREACH(c, &env->conns, entry) {
		all = tapped_of(c);
		for (i = 0; all != NULL && i < all->n && all->by[i].tap != t; i++)
			;
		if (all != NULL && i < all->n)
			unview(c, i);
	}
	for (i = 0; i < env->ntaps && env->taps[i] != t; i++)
		;
	if (i == env->ntaps)
		return;
	tap_unref(&env->taps[i]);
	env->taps[i] = env->taps[--env->ntaps];
}
