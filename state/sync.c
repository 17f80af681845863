/* sync.c: SYNC as Redis gets it, and its answer */
#include "config.h"

#include "state/sync.h"

#include "state/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHARE 8		/* keys and arguments that the claims have in common */
#define EACH 10		/* and those of each */
#define FACT 2		/* and those of each fact in it */
#define ARGS_MAX (SHARE + EACH * SYNC_MAX + FACT * SHARED_FACTS_MAX)

/* The arguments of one script. */
struct args {
	int n;
	const char *v[ARGS_MAX];
	size_t len[ARGS_MAX];
	size_t used;		/* of text */
	char text[(SHARE + 2 * SYNC_MAX + SHARED_FACTS_MAX) * NAMES_KEY_MAX + 3 * 24 * SYNC_MAX];
};

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

/* "" where there is none. */
static void
arg_number(struct args *a, bool there, uint64_t v)
{
	if (there)
		snprintf(arg_room(a), sizeof(a->text) - a->used, "%" PRIu64, v);
	else
		*arg_room(a) = '\0';
	arg_written(a);
}

static void
arg_key(struct args *a, const struct shared *m, const char *what, const uint8_t *id)
{
	shared_key(m, arg_room(a), what, id);
	arg_written(a);
}

static void
arg_id(struct args *a, const uint8_t *id)
{
	record_hex(id, NAMES_ID_LEN, arg_room(a));
	arg_written(a);
}

static void
arg_op(struct args *a, const struct shared_op *op)
{
	arg_bytes(a, &op->kind, 1);
	arg_id(a, op->id);
	arg_bytes(a, op->record.bytes, op->record.len);
	arg_bytes(a, op->other.bytes, op->other.len);
	arg_word(a, op->exception ? "1" : "0");
	arg_number(a, op->stay_ms >= 0, (uint64_t)op->stay_ms);
	arg_bytes(a, op->bad.bytes, op->bad.len);
	arg_number(a, op->deadline_ms != 0, op->deadline_ms);
	arg_number(a, true, op->nfacts);
	for (size_t i = 0; i < op->nfacts; i++) {
		arg_id(a, op->facts[i].sid);
		arg_bytes(a, op->facts[i].bytes, op->facts[i].len);
	}
}

bool
sync_send(struct link *l, const struct shared *m, uint64_t gen, bool hurry,
    const struct shared_op *ops, size_t n, link_reply_f cb, void *arg)
{
	struct args a;

	/* It is big: only what counts it is set. */
	a.n = 0;
	a.used = 0;
	arg_key(&a, m, "x", NULL);
	arg_key(&a, m, "e", NULL);
	arg_key(&a, m, "p", NULL);
	for (size_t i = 0; i < n; i++)
		arg_key(&a, m, "c:", ops[i].id);
	arg_word(&a, shared_token(m));
	arg_number(&a, true, gen);
	arg_word(&a, hurry ? "1" : "0");
	arg_key(&a, m, "news", NULL);
	arg_word(&a, shared_out(m));
	for (size_t i = 0; i < n; i++)
		arg_op(&a, &ops[i]);
	return link_run(l, SCRIPT_SYNC, 3 + (int)n, a.n, a.v, a.len, cb, arg);
}

bool
sync_answer(const struct redisReply *r, size_t n, uint64_t *t)
{
	*t = reply_number(r, 0);
	if (reply_elements(r) != n + 1 && reply_elements(r) != 1)
		*t = 0;
	return *t != 0 && reply_elements(r) == n + 1;
}

struct shared_result
sync_result(const struct redisReply *r, size_t i)
{
	const struct redisReply *x = reply_array(r, i + 1);
	struct shared_result res = { .how = -1 };

	if (x == NULL || reply_elements(x) == 0 || reply_number(x, 0) > HOW_LOST)
		return res;
	res.how = (int)reply_number(x, 0);
	res.record = reply_string(x, 1, &res.len);
	if (res.record == NULL)
		res.len = 0;
	res.others = (unsigned)reply_number(x, 2);
	res.firm = reply_number(x, 3) != 0;
	return res;
}
