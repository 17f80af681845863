/* auth-keyq.c: unit tests of the queue to smbgate-keyd: whose turn it is, and who must give way */
#include "config.h"

#include "auth/keyc_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SOURCES 12
/* What keyq.c lets wait. */
#define FULL 1024
#define FULL_BYTES (4 * 1024 * 1024)
#define BIG 60000

struct queue {
	struct keyc c;
	struct keywatch watch;
};

static void
queue_init(struct queue *q)
{
	*q = (struct queue){ .c.fd = -1 };
	q->c.watch = &q->watch;
	TAILQ_INIT(&q->c.sources);
}

/* An exchange with a message of n bytes; with a CHALLENGE before it, if there is to be one. */
static struct keyx *
asks(struct queue *q, uint64_t source, size_t n, bool challenge)
{
	struct keyx *x = calloc(1, sizeof(*x));
	uint8_t *bytes = calloc(1, n + 8);

	assert_non_null(x);
	assert_non_null(bytes);
	x->c = &q->c;
	x->source = source;
	if (challenge) {
		x->unsent[0].type = KEYMSG_NTLM_CHALLENGE;
		assert_int_equal(buf_add(&x->unsent[x->nunsent++].token, bytes, 8), 0);
	}
	x->unsent[x->nunsent].type = challenge ? KEYMSG_NTLM_AUTH : KEYMSG_AP_REQ;
	assert_int_equal(buf_add(&x->unsent[x->nunsent++].token, bytes, n), 0);
	free(bytes);
	return x;
}

static void
give_up(struct keyx *x)
{
	keyq_remove(x);
	for (unsigned i = 0; i < x->nunsent; i++)
		buf_fini(&x->unsent[i].token);
	free(x);
}

/* The source that is served now, with all that its exchange has; it is gone then. */
static uint64_t
serve(struct queue *q)
{
	struct keyx *x = keyq_first(&q->c);
	uint64_t source = x->source;

	while (x->queue != NULL) {
		assert_ptr_equal(keyq_first(&q->c), x);
		keyq_sent(x);
	}
	assert_int_equal(x->nunsent, 0);
	free(x);
	return source;
}

static void
is_empty(const struct queue *q)
{
	assert_null(keyq_first(&q->c));
	assert_true(TAILQ_EMPTY(&q->c.sources));
	assert_int_equal(q->c.nqueued, 0);
	assert_int_equal(q->c.queued_bytes, 0);
	assert_int_equal(atomic_load(&q->watch.queued), 0);
}

/* One logon of somebody else's comes second, whatever a source has waiting. */
static void
single(void **state)
{
	struct queue q;
	uint64_t order[5];

	(void)state;
	queue_init(&q);
	for (int i = 0; i < 500; i++)
		assert_null(keyq_add(asks(&q, 1, 3000, i % 2)));
	assert_null(keyq_add(asks(&q, 2, 400, true)));
	assert_null(keyq_add(asks(&q, 2, 400, true)));
	assert_int_equal(atomic_load(&q.watch.queued), 502);
	for (int i = 0; i < 5; i++)
		order[i] = serve(&q);
	for (int i = 0; i < 5; i++)
		assert_int_equal(order[i], i == 1 || i == 3 ? 2 : 1);
	while (keyq_first(&q.c) != NULL)
		assert_int_equal(serve(&q), 1);
	is_empty(&q);
}

/*
 * Many sources that ask a little and much, and give up: while a source waits, no other one is
 * served twice. What waits is what the model says that waits.
 */
static void
crowd(void **state)
{
	struct keyx *x[FULL];
	unsigned waits[SOURCES] = { 0 }, since[SOURCES][SOURCES] = { { 0 } };
	struct queue q;
	size_t n = 0;

	(void)state;
	queue_init(&q);
	srandom(16);
	for (int turn = 0; turn < 20000; turn++) {
		/* The first is a flood, the last hardly ever there. */
		unsigned s = (unsigned)random() % SOURCES * ((unsigned)random() % 3) / 2;
		unsigned what = (unsigned)random() % 10;

		if (what < 5 && n < FULL) {
			if (waits[s]++ == 0)
				memset(since[s], 0, sizeof(since[s]));
			x[n++] = asks(&q, s, 1 + (size_t)random() % 900, random() % 2);
			assert_null(keyq_add(x[n - 1]));
		} else if (what < 6 && n > 0) {
			size_t i = (size_t)random() % n;

			waits[x[i]->source]--;
			give_up(x[i]);
			x[i] = x[--n];
		} else if (n > 0) {
			const struct keyx *next = keyq_first(&q.c);
			size_t i = 0;

			while (x[i] != next)
				i++;
			x[i] = x[--n];
			s = (unsigned)serve(&q);
			waits[s]--;
			memset(since[s], 0, sizeof(since[s]));
			for (unsigned other = 0; other < SOURCES; other++)
				if (waits[other] > 0 && other != s)
					assert_true(++since[other][s] <= 1);
		}
		assert_int_equal(q.c.nqueued, n);
	}
	while (n > 0)
		give_up(x[--n]);
	is_empty(&q);
}

/* Adds, and what must go for it goes. The source that had to give way, or 0: nobody. */
static uint64_t
add_to_full(struct keyx *x)
{
	struct keyx *victim;
	uint64_t source = 0;

	while ((victim = keyq_add(x)) != NULL) {
		bool itself = victim == x;

		assert_null(victim->queue);
		source = victim->source;
		give_up(victim);
		if (itself)
			break;
	}
	return source;
}

/* Where there is no room, the source that has most loses its last, and nobody else anything. */
static void
full(void **state)
{
	static const size_t sizes[] = { 100, BIG };
	struct queue q;

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		size_t most = sizes[kind] == BIG ? FULL_BYTES / BIG : FULL, honest = most / 4;

		queue_init(&q);
		for (size_t i = 0; i < most + 50; i++)
			assert_int_equal(add_to_full(asks(&q, 1, sizes[kind], false)),
			    i < most ? 0 : 1);
		for (size_t i = 0; i < honest; i++)
			assert_int_equal(add_to_full(asks(&q, 2 + i, 400, true)),
			    sizes[kind] == BIG ? 0 : 1);	/* they are small enough */
		/* Each is served among the first, one of the flood's between them at most. */
		for (size_t i = 0; i < honest + 1; i++)
			assert_int_equal(serve(&q), i == 0 ? 1 : 1 + i);
		while (keyq_first(&q.c) != NULL)
			assert_int_equal(serve(&q), 1);
		is_empty(&q);
	}
}

/* Where bytes are what lacks, who has most of these gives way, and not who has many small ones. */
static void
full_of_bytes(void **state)
{
	const size_t most = FULL_BYTES / BIG, many = 4 * most;
	size_t served[5] = { 0 };
	struct queue q;

	(void)state;
	queue_init(&q);
	for (size_t i = 0; i < many; i++)
		assert_int_equal(add_to_full(asks(&q, 2, 100, false)), 0);
	for (size_t i = 0; i < 2 * most; i++)
		assert_int_equal(add_to_full(asks(&q, 1, BIG, false)), i < most ? 0 : 1);
	for (size_t i = 0; i < many; i++)
		assert_in_range(add_to_full(asks(&q, 2, 100, false)), 0, 1);
	assert_int_equal(add_to_full(asks(&q, 3, BIG, false)), 1);
	/* It would be the one that has most, but for the flood. */
	assert_int_equal(add_to_full(asks(&q, 4, BIG, false)), 1);
	while (keyq_first(&q.c) != NULL)
		served[serve(&q)]++;
	assert_int_equal(served[2], 2 * many);
	assert_int_equal(served[3], 1);
	assert_int_equal(served[4], 1);
	is_empty(&q);
}

/* One of many bytes does not put out many of few. */
static void
full_of_small_ones(void **state)
{
	const size_t each = FULL_BYTES / (FULL - 1);
	struct queue q;

	(void)state;
	queue_init(&q);
	for (size_t i = 0; i < FULL - 1; i++)
		assert_int_equal(add_to_full(asks(&q, 10 + i, each, false)), 0);
	assert_int_equal(add_to_full(asks(&q, 1, BIG, false)), 1);
	for (size_t i = 0; i < FULL - 1; i++)
		assert_int_equal(serve(&q), 10 + i);
	is_empty(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single),
		cmocka_unit_test(crowd),
		cmocka_unit_test(full),
		cmocka_unit_test(full_of_bytes),
		cmocka_unit_test(full_of_small_ones),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
