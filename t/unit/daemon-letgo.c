/* daemon-letgo.c: clients go together or not at all, and what proxies tell each other of that */
#include "config.h"

#include "auth/cluster.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "daemon/ends.h"
#include "daemon/letgo.h"
#include "daemon/stand.h"
#include "daemon/talk.h"
#include "proxy/conn.h"
#include "proxy/mailbox.h"
#include "proxy/parting.h"
#include "proxy/worker.h"
#include "state/keeper.h"
#include "state/link_conf.h"
#include "state/record.h"
#include "state/shared.h"
#include "state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <event2/event.h>

#define WORKERS 2
#define TOLD_MAX 8

static const struct secret secret = { .len = 16, .bytes = "a secret of ours" };
static const struct secret other_secret = { .len = 16, .bytes = "a secret of them" };
static const struct secret no_secret;

static struct parting
clients(size_t n)
{
	struct parting p = { .n = n };

	for (size_t i = 0; i < n; i++) {
		p.who[i].key.b[0] = STATE_KEY_GUID;
		p.who[i].key.b[1] = (uint8_t)(i + 1);
		state_key_set_cluster(&p.who[i].key, (uint32_t)i);
	}
	return p;
}

/* What the terms of a drain are in words. */

static void
stand_is(const char *text, enum stand_kind kind, uint64_t quiet_ms, uint64_t deadline_ms)
{
	struct stand s = stand_read(text);

	assert_int_equal(s.kind, kind);
	assert_int_equal(s.quiet_ms, quiet_ms);
	assert_int_equal(s.deadline_ms, deadline_ms);
}

static void
stands(void **state)
{
	const struct stand all[] = {
		{ STAND_ACTIVE, STAND_QUIET_MS, 0 },
		{ STAND_DRAIN, STAND_QUIET_MS, 0 },
		{ STAND_DRAIN, 0, 1 },
		{ STAND_MAINT, STAND_TIME_MAX_MS, STAND_TIME_MAX_MS },
	};
	char text[STAND_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		stand_is(stand_text(&all[i], text), all[i].kind, all[i].quiet_ms,
		    all[i].deadline_ms);
	assert_string_equal(stand_text(&all[1], text), "drain");
	stand_is("", STAND_ACTIVE, STAND_QUIET_MS, 0);
	stand_is("drained", STAND_ACTIVE, STAND_QUIET_MS, 0);
	stand_is("drain 5", STAND_DRAIN, STAND_QUIET_MS, 0);
	stand_is("drain 5 x", STAND_DRAIN, STAND_QUIET_MS, 0);
	stand_is("maint 34560000001 0", STAND_MAINT, STAND_QUIET_MS, 0);
	stand_is("drain 0 99999999999999999999999999", STAND_DRAIN, STAND_QUIET_MS, 0);
	stand_is("drain -1 -1", STAND_DRAIN, STAND_QUIET_MS, 0);
}

/* What is told. */

static void
told_all(void **state)
{
	(void)state;
	for (int kind = TALK_PARK; kind <= TALK_END_AGAIN; kind++)
		for (size_t n = 0; n <= PARTING_MAX; n++) {
			struct talk t = { .kind = (enum talk_kind)kind, .from = "0123456789abcde",
				.to = "fedcba987654321", .at_ms = 1ull << 60,
				.number = 1ull << 61, .round = 7, .busy = 9,
				.who = clients(n) }, r;
			uint8_t bytes[TALK_WRAPPED];

			*(kind == TALK_END_AGAIN ? &t.ago_ms : &t.quiet_s) = 8;
			assert_int_equal(talk_write(&secret, &t, bytes), 0);
			assert_int_equal(talk_read(&secret, bytes, sizeof(bytes), &r), 0);
			assert_memory_equal(&r, &t, sizeof(t));
			assert_int_equal(talk_read(&other_secret, bytes, sizeof(bytes), &r), -1);
			assert_int_equal(talk_read(&no_secret, bytes, sizeof(bytes), &r), -1);
			assert_int_equal(talk_write(&no_secret, &t, bytes), -1);
		}
}

static void
told_by_nobody(void **state)
{
	struct talk t = { .kind = TALK_END, .who = clients(3) }, r;
	uint8_t bytes[TALK_WRAPPED + 1] = { 0 };

	(void)state;
	assert_int_equal(talk_write(&secret, &t, bytes), 0);
	for (size_t len = 0; len <= TALK_WRAPPED + 1; len++)
		assert_int_equal(talk_read(&secret, bytes, len, &r), len == TALK_WRAPPED ? 0 : -1);
	for (size_t i = 0; i < TALK_WRAPPED; i++) {
		bytes[i] ^= 1;
		assert_int_equal(talk_read(&secret, bytes, TALK_WRAPPED, &r), -1);
		bytes[i] ^= 1;
	}
	assert_int_equal(talk_read(&secret, bytes, TALK_WRAPPED, &r), 0);
}

/* Whoever has the secret may say anything. */
static int
read_text(const char *bound, size_t bound_len, const uint8_t text[TALK_TEXT], struct talk *t)
{
	uint8_t bytes[TALK_WRAPPED];

	assert_int_equal(cluster_wrap(&secret, bound, bound_len, text, TALK_TEXT, bytes), 0);
	return talk_read(&secret, bytes, sizeof(bytes), t);
}

static void
told_nonsense(void **state)
{
	uint8_t text[TALK_TEXT] = { 0 };
	const size_t n_at = 1 + 2 * TALK_TOKEN + 8 + 8 + 4 + 4 + 4;
	struct talk t;

	(void)state;
	srandom(19);
	for (int kind = 0; kind < 256; kind++) {
		text[0] = (uint8_t)kind;
		assert_int_equal(read_text("clients", 8, text, &t),
		    kind >= TALK_PARK && kind <= TALK_END_AGAIN ? 0 : -1);
	}
	text[0] = TALK_END;
	assert_int_equal(read_text("others", 7, text, &t), -1);
	for (unsigned n = 0; n < 256; n++) {
		text[n_at] = (uint8_t)n;
		assert_int_equal(read_text("clients", 8, text, &t), n <= PARTING_MAX ? 0 : -1);
	}
	for (int i = 0; i < 2000; i++) {
		for (size_t k = 0; k < sizeof(text); k++)
			text[k] = (uint8_t)random();
		text[0] %= TALK_END_AGAIN + 2;
		text[n_at] %= PARTING_MAX + 2;
		if (read_text("clients", 8, text, &t) == 0)
			assert_true(t.who.n <= PARTING_MAX && t.who.who[0].conn_id == 0);
	}
}

/* Workers without connections, whose part is played here; proxy/parting.c is left out. */

static struct played {
	unsigned parks, resumes, goes, ends;
	uint32_t busy[WORKERS];		/* of the next parks */
	uint32_t quiet_s;
	struct parting parked, resumed, gone, ended;
} played;

uint32_t
parting_park(struct conn_env *env, const struct parting *p, uint32_t quiet_s)
{
	(void)env;
	played.parked = *p;
	played.quiet_s = quiet_s;
	return played.busy[played.parks++ % WORKERS];
}

void
parting_resume(struct conn_env *env, const struct parting *p)
{
	(void)env;
	played.resumed = *p;
	played.resumes++;
}

void
parting_go(struct conn_env *env, const struct parting *p, uint32_t quiet_s)
{
	(void)env;
	played.gone = *p;
	played.quiet_s = quiet_s;
	played.goes++;
}

size_t
parting_end(struct conn_env *env, const struct parting *p)
{
	(void)env;
	played.ended = *p;
	played.ends++;
	return 3;
}

void
parting_end_soon(struct conn_env *env, const struct parting *p)
{
	(void)parting_end(env, p);
}

void
parting_tick(struct conn *c)
{
	(void)c;
}

/* Other proxies. */

static struct keeper_info others;

void
keeper_describe(struct keeper *k, struct keeper_info *info)
{
	(void)k;
	*info = others;
}

struct fixture {
	struct state state;		/* first: of tell_cb() */
	struct event_base *base;
	struct mailbox *mailbox;
	struct worker w[WORKERS];
	struct worker *workers[WORKERS];
	struct shared *shared;
	struct keeper *keeper;
	struct letgo *l;
	struct talk told[TOLD_MAX];
	size_t ntold;
	uint32_t result;
	unsigned done;
};

static void
tell_cb(struct state *s, const void *bytes, size_t len)
{
	struct fixture *f = (struct fixture *)s;

	assert_true(f->ntold < TOLD_MAX);
	assert_int_equal(talk_read(&secret, bytes, len, &f->told[f->ntold++]), 0);
}

static const struct state_ops ops = { .shared = true, .tell = tell_cb };

static int
mac(const void *arg, const char *label, const void *a, size_t an, const void *b, size_t bn,
    uint8_t out[32])
{
	(void)arg;
	(void)label;
	(void)a;
	(void)an;
	(void)b;
	(void)bn;
	memset(out, 'm', 32);
	return 0;
}

static const struct record_seal seal = { .mac = mac };
static const struct link_conf conf = { .timeout_ms = 50 };

static void
letgo_start(struct fixture *f, bool shared, const struct secret *s)
{
	static uint8_t no_keeper;
	struct letgo_env env = { .base = f->base, .mailbox = f->mailbox, .workers = f->workers,
		.nworkers = WORKERS, .state = &f->state, .secret = s, .keeper = &f->keeper };

	if (shared) {
		f->shared = env.shared = shared_new(&conf, &seal, 10);
		f->keeper = (struct keeper *)(void *)&no_keeper;
		atomic_store(&shared_stats(f->shared)->online, true);
	}
	f->l = letgo_new(&env);
	assert_non_null(f->l);
}

static int
letgo_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->state.ops = &ops;
	f->base = event_base_new();
	f->mailbox = mailbox_new(f->base);
	for (size_t i = 0; i < WORKERS; i++) {
		f->w[i].mailbox = mailbox_new(f->base);
		f->workers[i] = &f->w[i];
	}
	memset(&played, 0, sizeof(played));
	memset(&others, 0, sizeof(others));
	*state = f;
	return 0;
}

static int
letgo_teardown(void **state)
{
	struct fixture *f = *state;

	letgo_close(f->l);
	for (size_t i = 0; i < WORKERS; i++) {
		mailbox_drain(f->w[i].mailbox);
		mailbox_free(&f->w[i].mailbox);
	}
	mailbox_drain(f->mailbox);
	mailbox_free(&f->mailbox);
	letgo_free(&f->l);
	shared_free(&f->shared);
	event_base_free(f->base);
	free(f);
	return 0;
}

static void
done_cb(void *arg, uint32_t result)
{
	struct fixture *f = arg;

	f->result = result;
	f->done++;
}

/* All that can be done now. */
static void
turn(struct fixture *f)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(f->base, EVLOOP_NONBLOCK);
}

static void
until_done(struct fixture *f)
{
	for (const unsigned before = f->done; f->done == before;)
		event_base_loop(f->base, EVLOOP_ONCE);
	turn(f);
}

/* So many that have our secret, and one that has not. */
static void
proxies(size_t n)
{
	others.npeers = n + 1;
	for (size_t i = 0; i < n; i++) {
		others.peers[i].same_secret = true;
		snprintf(others.peers[i].token, sizeof(others.peers[i].token), "p%zu", i + 2);
	}
}

/* Of Redis' clock, of which nothing is known here. */
static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct talk
said_by(const char *who, enum talk_kind kind, const struct parting *p)
{
	static uint64_t said;
	struct talk t = {
		.kind = kind, .at_ms = now_ms(), .number = ++said, .quiet_s = 4, .who = *p
	};

	snprintf(t.from, sizeof(t.from), "%s", who);
	return t;
}

static struct talk
answer_of(const struct fixture *f, const char *who, uint32_t busy)
{
	struct talk t = said_by(who, TALK_ANSWER, &(struct parting){ .n = 0 });

	memcpy(t.to, shared_token(f->shared), TALK_TOKEN);
	t.round = f->told[0].round;
	t.busy = busy;
	return t;
}

/* Those of two that are quiet with all workers. */
static void
alone(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(3);

	letgo_start(f, false, &no_secret);
	assert_true(letgo_reaches(f->l));
	played.busy[0] = 1;
	played.busy[1] = 4;
	assert_true(letgo_ask(f->l, &p, 5, done_cb, f));
	assert_int_equal(f->done, 0);
	assert_false(letgo_ask(f->l, &p, 5, done_cb, f));
	until_done(f);
	assert_int_equal(f->result, 2);
	assert_int_equal(played.parks, WORKERS);
	assert_memory_equal(&played.parked, &p, sizeof(p));
	assert_int_equal(played.goes, WORKERS);
	assert_int_equal(played.gone.n, 1);
	assert_memory_equal(&played.gone.who[0], &p.who[1], sizeof(p.who[1]));
	assert_int_equal(played.quiet_s, 5);
	assert_int_equal(played.resumes, WORKERS);
	assert_int_equal(played.resumed.n, 2);
	assert_int_equal(played.ends, 0);
	assert_true(letgo_ask(f->l, &p, 5, done_cb, f));
	until_done(f);
	assert_int_equal(f->done, 2);
}

/* All other proxies have to say so, each once, and of this question. */
static void
together(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(PARTING_MAX);
	struct talk t;

	letgo_start(f, true, &secret);
	proxies(2);
	p.who[0] = (struct client_ref){ .conn_id = 9 };
	assert_true(letgo_ask(f->l, &p, 5, done_cb, f));
	turn(f);
	assert_int_equal(f->ntold, 1);
	assert_int_equal(f->told[0].kind, TALK_PARK);
	assert_int_equal(f->told[0].who.n, PARTING_MAX);
	/* One that has just come, and was not waited for: also before the others. */
	t = answer_of(f, "p9", 0);
	letgo_heard(f->l, &t);
	t = answer_of(f, "p2", 2);
	letgo_heard(f->l, &t);
	letgo_heard(f->l, &t);
	t.round++;
	memcpy(t.from, "p3", 3);
	letgo_heard(f->l, &t);
	t = answer_of(f, "p3", 4);
	t.to[0] ^= 1;
	letgo_heard(f->l, &t);
	t = answer_of(f, "p3", 4);
	memcpy(t.from, shared_token(f->shared), TALK_TOKEN);
	letgo_heard(f->l, &t);
	turn(f);
	assert_int_equal(f->done, 0);
	t = answer_of(f, "p3", 8);
	letgo_heard(f->l, &t);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->result, 0xffff & ~(2 | 8));
	turn(f);
	assert_int_equal(played.gone.n, PARTING_MAX - 2);
	assert_int_equal(f->ntold, 3);
	assert_int_equal(f->told[1].kind, TALK_RESUME);
	assert_int_equal(f->told[1].who.n, 2);
	assert_int_equal(f->told[2].kind, TALK_GO);
	assert_int_equal(f->told[2].quiet_s, 5);
	/* Nobody else knows connections by their numbers. */
	assert_int_equal(f->told[2].who.n, PARTING_MAX - 3);
}

/* One that does not answer: nobody goes, and it is not asked all the time. */
static void
unanswered(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(2);

	letgo_start(f, true, &secret);
	proxies(1);
	assert_true(letgo_ask(f->l, &p, 5, done_cb, f));
	until_done(f);
	assert_int_equal(f->result, 0);
	assert_int_equal(played.goes, 0);
	assert_int_equal(played.resumes, WORKERS);
	assert_int_equal(f->told[1].kind, TALK_RESUME);
	assert_false(letgo_ask(f->l, &p, 5, done_cb, f));
	assert_int_equal(f->ntold, 2);
}

static void
unreachable(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(2);

	letgo_start(f, true, &no_secret);
	proxies(0);
	assert_true(letgo_reaches(f->l));
	proxies(1);
	assert_false(letgo_reaches(f->l));
	assert_false(letgo_ask(f->l, &p, 5, done_cb, f));
	proxies(0);
	atomic_store(&shared_stats(f->shared)->online, false);
	assert_false(letgo_reaches(f->l));
	assert_false(letgo_ask(f->l, &p, 5, done_cb, f));
	turn(f);
	assert_int_equal(played.parks, 0);
}

/* What another proxy asks, and says. */
static void
heard(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(4);
	struct talk t;

	letgo_start(f, true, &secret);
	t = said_by("p2", TALK_PARK, &p);
	t.round = 77;
	played.busy[0] = 1;
	played.busy[1] = 8;
	letgo_heard(f->l, &t);
	turn(f);
	assert_int_equal(f->ntold, 1);
	assert_int_equal(f->told[0].kind, TALK_ANSWER);
	assert_int_equal(f->told[0].round, 77);
	assert_int_equal(f->told[0].busy, 1 | 8);
	assert_memory_equal(f->told[0].to, t.from, TALK_TOKEN);
	t = said_by("p2", TALK_GO, &p);
	letgo_heard(f->l, &t);
	t = said_by("p2", TALK_RESUME, &p);
	letgo_heard(f->l, &t);
	turn(f);
	assert_int_equal(played.goes, WORKERS);
	assert_int_equal(played.quiet_s, 4);
	assert_int_equal(played.resumes, WORKERS);
	assert_int_equal(played.ends, 0);
	t = said_by("p2", TALK_END, &p);
	letgo_heard(f->l, &t);
	/* Of this proxy's own words nothing comes. */
	memcpy(t.from, shared_token(f->shared), TALK_TOKEN);
	letgo_heard(f->l, &t);
	turn(f);
	assert_int_equal(played.ends, WORKERS);
	assert_int_equal(f->ntold, 1);
}

static void
ended(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(1);

	letgo_start(f, true, &secret);
	letgo_end(f->l, &p, done_cb, f);
	until_done(f);
	assert_int_equal(f->result, WORKERS * 3);
	assert_int_equal(f->ntold, 1);
	assert_int_equal(f->told[0].kind, TALK_END);
	p.who[0] = (struct client_ref){ .conn_id = 9 };
	letgo_end(f->l, &p, NULL, NULL);
	turn(f);
	assert_int_equal(played.ends, 2 * WORKERS);
	assert_int_equal(f->ntold, 1);
}

static void
count_cb(void *arg, uint32_t result)
{
	(void)result;
	++*(unsigned *)arg;
}

/* Hundreds are moved at once: they share the walks over all connections. */
static void
ended_together(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(1);
	unsigned told = 0;

	letgo_start(f, true, &secret);
	for (unsigned i = 0; i < 100; i++) {
		p.who[0].key.b[5] = (uint8_t)i;
		letgo_end(f->l, &p, count_cb, &told);
	}
	turn(f);
	turn(f);
	assert_int_equal(told, 100);
	assert_int_equal(played.ends, WORKERS * (100 / PARTING_MAX + 1));
	assert_int_equal(f->ntold, 100 / PARTING_MAX + 1);
	assert_int_equal(played.ended.n, 100 % PARTING_MAX);
	assert_int_equal(played.ended.who[played.ended.n - 1].key.b[5], 99);
}

/* Two have to say that they have heard it; who has not is told again, and says until when. */
static void
ended_there(void **state)
{
	const struct timeval longer = { 2, 0 };
	struct fixture *f = *state;
	struct parting p = clients(2);
	struct talk t;

	letgo_start(f, true, &secret);
	proxies(2);
	letgo_end(f->l, &p, NULL, NULL);
	turn(f);
	assert_int_equal(f->ntold, 1);
	assert_int_equal(f->told[0].kind, TALK_END);
	assert_int_not_equal(f->told[0].round, 0);
	t = answer_of(f, "p2", 0);
	t.kind = TALK_ENDED;
	letgo_heard(f->l, &t);
	t = answer_of(f, "p3", 0);
	t.kind = TALK_ENDED;
	t.to[0] ^= 1;
	letgo_heard(f->l, &t);
	/* While Redis is away nothing is added to what waits for it. */
	atomic_store(&shared_stats(f->shared)->online, false);
	for (const uint64_t end = clock_ms() + ENDS_AGAIN_MS + 100; clock_ms() < end;)
		event_base_loop(f->base, EVLOOP_ONCE);
	assert_int_equal(f->ntold, 1);
	atomic_store(&shared_stats(f->shared)->online, true);
	while (f->ntold == 1)
		event_base_loop(f->base, EVLOOP_ONCE);
	assert_int_equal(f->told[1].kind, TALK_END_AGAIN);
	assert_int_equal(f->told[1].round, f->told[0].round);
	assert_true(f->told[1].ago_ms >= ENDS_AGAIN_MS);
	assert_memory_equal(f->told[1].who.who, p.who, 2 * sizeof(p.who[0]));
	t = answer_of(f, "p3", 0);
	t.kind = TALK_ENDED;
	letgo_heard(f->l, &t);
	event_base_loopexit(f->base, &longer);
	event_base_dispatch(f->base);
	assert_int_equal(f->ntold, 2);
}

/* What is said late, or again, is not for those that have come back since. */
static void
ended_late(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(1);
	struct talk t;

	letgo_start(f, true, &secret);
	t = said_by("p2", TALK_END, &p);
	letgo_heard(f->l, &t);
	turn(f);
	assert_int_equal(played.ended.until_ms, 0);
	assert_int_equal(f->ntold, 0);
	t = said_by("p2", TALK_END, &p);
	t.at_ms -= 5000;
	t.round = 7;
	letgo_heard(f->l, &t);
	turn(f);
	assert_in_range(clock_ms() - played.ended.until_ms, 4500, 5500);
	assert_int_equal(f->ntold, 1);
	assert_int_equal(f->told[0].kind, TALK_ENDED);
	assert_int_equal(f->told[0].round, 7);
	assert_memory_equal(f->told[0].to, t.from, TALK_TOKEN);
	t = said_by("p2", TALK_END_AGAIN, &p);
	t.round = 8;
	t.ago_ms = 700;
	letgo_heard(f->l, &t);
	turn(f);
	assert_in_range(clock_ms() - played.ended.until_ms, 700, 1200);
	assert_int_equal(f->told[1].round, 8);
	assert_int_equal(played.ends, 3 * WORKERS);
}

/* What others have sealed is heard once, and not when it is old: it may have been kept. */
static void
again(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(1);
	struct talk t, first;

	letgo_start(f, true, &secret);
	first = t = said_by("p2", TALK_END, &p);
	letgo_heard(f->l, &t);
	turn(f);
	assert_int_equal(played.ends, WORKERS);
	letgo_heard(f->l, &t);
	t = said_by("p2", TALK_RESUME, &p);
	letgo_heard(f->l, &t);
	letgo_heard(f->l, &first);
	t = said_by("p3", TALK_END, &p);
	t.at_ms -= TALK_OLD_MS + 1;
	letgo_heard(f->l, &t);
	t.at_ms += 2 * TALK_OLD_MS + 60000;
	letgo_heard(f->l, &t);
	turn(f);
	assert_int_equal(played.ends, WORKERS);
	assert_int_equal(shared_faults(f->shared)->count[FAULT_BAD_VALUE], 4);
	/* A clock that differs a little is as good. */
	t = said_by("p3", TALK_END, &p);
	t.at_ms += 3000;
	letgo_heard(f->l, &t);
	turn(f);
	assert_int_equal(played.ends, 2 * WORKERS);
}

/* Many processes come and go: who was heard last longest ago is forgotten first. */
static void
seen_crowd(void **state)
{
	struct talk_seen seen = { .n = 0 };
	struct talk t = { .number = 5 };

	(void)state;
	for (unsigned i = 0; i < 3 * TALK_SEEN_MAX; i++) {
		snprintf(t.from, sizeof(t.from), "p%u", i);
		t.at_ms = 100000 + i;
		assert_true(talk_is_new(&seen, &t, t.at_ms));
		assert_false(talk_is_new(&seen, &t, t.at_ms));
		assert_true(seen.n <= TALK_SEEN_MAX);
	}
	for (unsigned i = 2 * TALK_SEEN_MAX; i < 3 * TALK_SEEN_MAX; i++) {
		snprintf(t.from, sizeof(t.from), "p%u", i);
		assert_false(talk_is_new(&seen, &t, t.at_ms));
	}
	t.number++;
	assert_true(talk_is_new(&seen, &t, t.at_ms));
	t.number++;
	t.at_ms = UINT64_MAX;
	assert_false(talk_is_new(&seen, &t, 100000));
}

/* smbgate ends in the middle: the teardown runs what was ordered. */
static void
closed(void **state)
{
	struct fixture *f = *state;
	struct parting p = clients(1);
	struct talk t;

	letgo_start(f, true, &secret);
	assert_true(letgo_ask(f->l, &p, 5, done_cb, f));
	letgo_end(f->l, &p, done_cb, f);
	letgo_close(f->l);
	t = said_by("p2", TALK_END, &p);
	letgo_heard(f->l, &t);
	letgo_end(f->l, &p, done_cb, f);
	assert_false(letgo_ask(f->l, &p, 5, done_cb, f));
	turn(f);
	assert_int_equal(played.parks, WORKERS);
	assert_int_equal(played.ends, WORKERS);
	assert_int_equal(f->done, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, letgo_setup, letgo_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stands),
		cmocka_unit_test(told_all),
		cmocka_unit_test(told_by_nobody),
		cmocka_unit_test(told_nonsense),
		TEST(alone),
		TEST(together),
		TEST(unanswered),
		TEST(unreachable),
		TEST(heard),
		TEST(ended),
		TEST(ended_together),
		TEST(ended_there),
		TEST(ended_late),
		TEST(again),
		cmocka_unit_test(seen_crowd),
		TEST(closed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
