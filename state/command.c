/* command.c: what is asked and asserted of claims, as the arguments of scripts */
#include "config.h"

#include "state/command.h"

#include "state/facts.h"
#include "state/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The arguments of one script: those of ASSERT_MAX claims, and what the claims share. */
struct args {
	int n;
	const char *v[8 * ASSERT_MAX];
	size_t len[8 * ASSERT_MAX];
	size_t used;		/* of text */
	char text[160 * ASSERT_MAX];
};

/* They are big: only what counts them is set. */
static void
args_begin(struct args *a)
{
	a->n = 0;
	a->used = 0;
}

static void
arg_bytes(struct args *a, const void *p, size_t n)
{
	a->v[a->n] = p;
	a->len[a->n++] = n;
}

static void
arg_word(struct args *a, const char *s)
{
	arg_bytes(a, s, strlen(s));
}

static char *
arg_room(struct args *a)
{
	return a->text + a->used;
}

/* What was written to arg_room() is an argument. */
static void
arg_written(struct args *a)
{
	arg_word(a, arg_room(a));
	a->used += strlen(arg_room(a)) + 1;
}

static void
arg_number(struct args *a, uint64_t v)
{
	snprintf(arg_room(a), sizeof(a->text) - a->used, "%" PRIu64, v);
	arg_written(a);
}

/* A number, or "" where there is none. */
static void
arg_maybe(struct args *a, int64_t v)
{
	if (v < 0)
		arg_word(a, "");
	else
		arg_number(a, (uint64_t)v);
}

static void
arg_hex(struct args *a, const uint8_t *id)
{
	record_hex(id, NAMES_ID_LEN, arg_room(a));
	arg_written(a);
}

static void
arg_key(struct args *a, const struct shared *m, const char *what, const uint8_t *id)
{
	shared_key(m, arg_room(a), what, id);
	arg_written(a);
}

static void
arg_record(struct args *a, const struct record *r)
{
	arg_bytes(a, r->bytes, r->len);
}

static uint64_t
command_run(struct link *l, struct shared *m, enum script s, int nkeys, struct args *a,
    link_reply_f cb, void *arg)
{
	atomic_fetch_add_explicit(&shared_stats(m)->commands, 1, memory_order_relaxed);
	return link_run(l, s, nkeys, a->n, a->v, a->len, cb, arg);
}

uint64_t
command_claim(struct link *l, struct shared *m, const struct shared_request *q,
    const struct record *bad, uint64_t deadline_ms, link_reply_f cb, void *arg)
{
	struct args a;

	args_begin(&a);
	arg_key(&a, m, "c:", q->id);
	arg_key(&a, m, "x", NULL);
	arg_key(&a, m, "e", NULL);
	arg_word(&a, shared_token(m));
	arg_number(&a, q->gen);
	arg_number(&a, NAMES_LEASE_MS);
	arg_number(&a, deadline_ms);
	arg_record(&a, &q->record);
	arg_record(&a, &q->home);
	arg_word(&a, link_returned(l, NAMES_GRACE_MS) ? "1" : "0");
	arg_hex(&a, q->id);
	arg_word(&a, q->exception ? "1" : "0");
	arg_record(&a, bad);
	arg_number(&a, NAMES_GRACE_MS);
	arg_key(&a, m, "news", NULL);
	return command_run(l, m, SCRIPT_CLAIM, 3, &a, cb, arg);
}

uint64_t
command_move(struct link *l, struct shared *m, const struct shared_request *q,
    const struct record *old, int64_t linger_ms, uint64_t deadline_ms, link_reply_f cb, void *arg)
{
	struct args a;

	args_begin(&a);
	arg_key(&a, m, "c:", q->id);
	arg_key(&a, m, "x", NULL);
	arg_word(&a, shared_token(m));
	arg_number(&a, q->gen);
	arg_number(&a, NAMES_LEASE_MS);
	arg_number(&a, deadline_ms);
	arg_record(&a, old);
	arg_record(&a, &q->record);
	arg_maybe(&a, linger_ms);
	arg_hex(&a, q->id);
	arg_word(&a, q->exception ? "1" : "0");
	arg_key(&a, m, "news", NULL);
	return command_run(l, m, SCRIPT_MOVE, 2, &a, cb, arg);
}

uint64_t
command_assert(struct link *l, struct shared *m, const struct shared_item *it, size_t n,
    link_reply_f cb, void *arg)
{
	struct args a;

	args_begin(&a);
	arg_key(&a, m, "x", NULL);
	arg_key(&a, m, "e", NULL);
	for (size_t i = 0; i < n; i++)
		arg_key(&a, m, "c:", it[i].id);
	arg_word(&a, shared_token(m));
	arg_number(&a, NAMES_LEASE_MS);
	arg_key(&a, m, "news", NULL);
	for (size_t i = 0; i < n; i++) {
		arg_number(&a, it[i].gen);
		arg_record(&a, &it[i].record);
		arg_maybe(&a, it[i].firm ? (int64_t)it[i].linger_ms : -1);
		arg_hex(&a, it[i].id);
		arg_word(&a, it[i].exception ? "1" : "0");
		arg_record(&a, &it[i].bad);
	}
	return command_run(l, m, SCRIPT_ASSERT, 2 + (int)n, &a, cb, arg);
}

uint64_t
command_release(struct link *l, struct shared *m, const struct shared_item *it, int64_t linger_ms)
{
	struct args a;

	args_begin(&a);
	arg_key(&a, m, "c:", it->id);
	arg_key(&a, m, "x", NULL);
	arg_key(&a, m, "e", NULL);
	arg_word(&a, shared_token(m));
	arg_number(&a, it->gen);
	arg_maybe(&a, linger_ms);
	arg_hex(&a, it->id);
	arg_key(&a, m, "news", NULL);
	arg_number(&a, NAMES_GRACE_MS);
	return command_run(l, m, SCRIPT_RELEASE, 3, &a, NULL, NULL);
}

uint64_t
command_facts(struct link *l, struct shared *m, const struct facts_item *it, size_t n,
    link_reply_f cb, void *arg)
{
	struct args a;

	args_begin(&a);
	for (size_t i = 0; i < n; i++)
		arg_key(&a, m, "s:", it[i].sid);
	arg_number(&a, NAMES_FACT_MS);
	for (size_t i = 0; i < n; i++) {
		arg_word(&a, it[i].node);
		arg_bytes(&a, it[i].bytes, it[i].len);
	}
	return command_run(l, m, SCRIPT_FACTS, (int)n, &a, cb, arg);
}

enum command_result
command_answer(struct link *l, struct shared *m, const struct shared_request *q,
    const struct redisReply *r, struct shared_answer *a, struct record *bad)
{
	uint64_t how = reply_number(r, 0), now = reply_number(r, 1);
	size_t len;
	const char *text = reply_string(r, 2, &len);

	if (reply_elements(r) != 5 || text == NULL || now == 0 || how > HOW_MOVED)
		return COMMAND_NONSENSE;
	link_note_time(l, now);
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
	if (record_get(text, len, shared_seal(m), "claim", q->id, NAMES_ID_LEN, &a->made_ms,
	        a->node) == -1) {
		fault_add(shared_faults(m), FAULT_BAD_VALUE);
		/* Too long for a record: a part of it could not name it to the script. */
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
		link_note_time(l, reply_number(r, 0));
	else
		r = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct redisReply *x = r == NULL ? NULL : reply_array(r, i + 1);
		size_t len;
		const char *text = reply_string(x, 1, &len);
		int what = text == NULL ? -1 : (int)reply_number(x, 0);

		if (shared_asserted(m, &it[i], what, text, len))
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
