/* command.c: questions and statements about claims, as the scripts take them */
#include "config.h"

#include "state/command.h"

#include "state/facts.h"
#include "state/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The arguments of one script: of SAY_MAX claims, at most, and what all of them have in common. */
struct args {
	int n;
	const char *v[8 * SAY_MAX];
	size_t len[8 * SAY_MAX];
	size_t used;		/* of text */
	char text[160 * SAY_MAX];
};

/* They are big: only what counts them is set. */
static void
begin(struct args *a)
{
	a->n = 0;
	a->used = 0;
}

static void
bytes(struct args *a, const void *p, size_t n)
{
	a->v[a->n] = p;
	a->len[a->n++] = n;
}

static void
word(struct args *a, const char *s)
{
	bytes(a, s, strlen(s));
}

static char *
room(struct args *a)
{
	return a->text + a->used;
}

/* What was written to room() is an argument. */
static void
written(struct args *a)
{
	word(a, room(a));
	a->used += strlen(room(a)) + 1;
}

static void
number(struct args *a, uint64_t v)
{
	snprintf(room(a), sizeof(a->text) - a->used, "%" PRIu64, v);
	written(a);
}

/* A number, or "" where there is none. */
static void
maybe(struct args *a, int64_t v)
{
	if (v < 0)
		word(a, "");
	else
		number(a, (uint64_t)v);
}

static void
hex(struct args *a, const uint8_t *id)
{
	record_hex(id, NAMES_ID_LEN, room(a));
	written(a);
}

static void
key(struct args *a, const struct shared *m, const char *what, const uint8_t *id)
{
	shared_key(m, room(a), what, id);
	written(a);
}

static void
record(struct args *a, const struct record *r)
{
	bytes(a, r->bytes, r->len);
}

static uint64_t
run(struct link *l, struct shared *m, enum script s, int nkeys, struct args *a,
    link_reply_f cb, void *arg)
{
	atomic_fetch_add_explicit(&shared_stats(m)->commands, 1, memory_order_relaxed);
	return link_run(l, s, nkeys, a->n, a->v, a->len, cb, arg);
}

uint64_t
command_claim(struct link *l, struct shared *m, const struct shared_wish *w, const struct record *bad,
    uint64_t deadline_ms, link_reply_f cb, void *arg)
{
	struct args a;

	begin(&a);
	key(&a, m, "c:", w->id);
	key(&a, m, "x", NULL);
	key(&a, m, "e", NULL);
	word(&a, shared_token(m));
	number(&a, w->gen);
	number(&a, NAMES_LEASE_MS);
	number(&a, deadline_ms);
	record(&a, &w->record);
	record(&a, &w->home);
	word(&a, link_returned(l, NAMES_GRACE_MS) ? "1" : "0");
	hex(&a, w->id);
	word(&a, w->exception ? "1" : "0");
	record(&a, bad);
	number(&a, NAMES_GRACE_MS);
	key(&a, m, "news", NULL);
	return run(l, m, SCRIPT_CLAIM, 3, &a, cb, arg);
}

uint64_t
command_move(struct link *l, struct shared *m, const struct shared_wish *w, const struct record *old,
    int64_t linger_ms, uint64_t deadline_ms, link_reply_f cb, void *arg)
{
	struct args a;

	begin(&a);
	key(&a, m, "c:", w->id);
	key(&a, m, "x", NULL);
	word(&a, shared_token(m));
	number(&a, w->gen);
	number(&a, NAMES_LEASE_MS);
	number(&a, deadline_ms);
	record(&a, old);
	record(&a, &w->record);
	maybe(&a, linger_ms);
	hex(&a, w->id);
	word(&a, w->exception ? "1" : "0");
	key(&a, m, "news", NULL);
	return run(l, m, SCRIPT_MOVE, 2, &a, cb, arg);
}

uint64_t
command_assert(struct link *l, struct shared *m, const struct shared_item *it, size_t n,
    link_reply_f cb, void *arg)
{
	struct args a;

	begin(&a);
	key(&a, m, "x", NULL);
	key(&a, m, "e", NULL);
	for (size_t i = 0; i < n; i++)
		key(&a, m, "c:", it[i].id);
	word(&a, shared_token(m));
	number(&a, NAMES_LEASE_MS);
	key(&a, m, "news", NULL);
	for (size_t i = 0; i < n; i++) {
		number(&a, it[i].gen);
		record(&a, &it[i].record);
		maybe(&a, it[i].firm ? (int64_t)it[i].linger_ms : -1);
		hex(&a, it[i].id);
		word(&a, it[i].exception ? "1" : "0");
		record(&a, &it[i].bad);
	}
	return run(l, m, SCRIPT_ASSERT, 2 + (int)n, &a, cb, arg);
}

uint64_t
command_release(struct link *l, struct shared *m, const struct shared_item *it, int64_t linger_ms)
{
	struct args a;

	begin(&a);
	key(&a, m, "c:", it->id);
	key(&a, m, "x", NULL);
	key(&a, m, "e", NULL);
	word(&a, shared_token(m));
	number(&a, it->gen);
	maybe(&a, linger_ms);
	hex(&a, it->id);
	key(&a, m, "news", NULL);
	number(&a, NAMES_GRACE_MS);
	return run(l, m, SCRIPT_RELEASE, 3, &a, NULL, NULL);
}

uint64_t
command_facts(struct link *l, struct shared *m, const struct facts_item *it, size_t n,
    link_reply_f cb, void *arg)
{
	struct args a;

	begin(&a);
	for (size_t i = 0; i < n; i++)
		key(&a, m, "s:", it[i].sid);
	number(&a, NAMES_FACT_MS);
	for (size_t i = 0; i < n; i++) {
		word(&a, it[i].node);
		bytes(&a, it[i].bytes, it[i].len);
	}
	return run(l, m, SCRIPT_FACTS, (int)n, &a, cb, arg);
}

enum command_result
command_answer(struct link *l, struct shared *m, const struct shared_wish *w,
    const struct redisReply *r, struct shared_answer *a, struct record *bad)
{
	uint64_t how = reply_number(r, 0), now = reply_number(r, 1);
	size_t len;
	const char *text = reply_string(r, 2, &len);

	if (reply_elements(r) != 5 || text == NULL || now == 0 || how > HOW_MOVED)
		return COMMAND_NONSENSE;
	link_heard_time(l, now);
	if (how == HOW_LATE) {
		fault_add(shared_faults(m), FAULT_LATE);
		return COMMAND_LATE;
	}
	*a = (struct shared_answer){
		.others = (unsigned)reply_number(r, 3),
		.firm = reply_number(r, 4) != 0,
		.fresh = how == HOW_MADE || how == HOW_MADE_BLIND,
		.blind = how == HOW_MADE_BLIND,
	};
	if (record_get(text, len, shared_seal(m), "claim", w->id, NAMES_ID_LEN, &a->made_ms,
	        a->node) == -1) {
		fault_add(shared_faults(m), FAULT_BAD_VALUE);
		/* What is longer than any record may be is told apart by its beginning no better. */
		bad->len = len < RECORD_MAX ? len : 0;
		memcpy(bad->bytes, text, bad->len);
		return COMMAND_BAD_VALUE;
	}
	memcpy(a->record.bytes, text, len);
	a->record.len = len;
	return COMMAND_GOOD;
}

void
command_asserted(struct link *l, struct shared *m, const struct shared_item *it, size_t n,
    const struct redisReply *r, void (*lost)(void *arg, const struct state_key *key), void *arg)
{
	if (reply_elements(r) == n + 1)
		link_heard_time(l, reply_number(r, 0));
	else
		r = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct redisReply *x = r == NULL ? NULL : reply_array(r, i + 1);
		size_t len;
		const char *text = reply_string(x, 1, &len);

		if (shared_said(m, &it[i], text == NULL ? -1 : (int)reply_number(x, 0), text, len))
			lost(arg, &it[i].key);
	}
}

uint64_t
command_time(const struct link *l)
{
	uint64_t t = link_time(l);
	struct timespec ts;

	if (t != 0)
		return t;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
