/* proxy-describe.c: a worker's connections described over several turns, while they come and go */
#include "config.h"

#include "base/clock.h"
#include "nodes/node.h"
#include "proxy/conn.h"
#include "proxy/describe.h"
#include "t/unit/lib/house.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

/* More than three turns' worth. */
#define MANY 200

struct found {
	struct conn_info *list;
	size_t n;
	unsigned calls;
};

static void
found_cb(void *arg, struct conn_info *list, size_t n)
{
	struct found *f = arg;

	assert_non_null(list);
	free(f->list);
	f->list = list;
	f->n = n;
	f->calls++;
}

static void
dial_many(struct house *h, struct house_link **l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		l[i] = house_dial(h, false);
}

/* Everybody who was asked has answered; how many turns that took. */
static unsigned
turns_until(struct house *h, struct found *f, unsigned calls)
{
	unsigned turns = 0;

	for (; f->calls < calls; turns++) {
		assert_true(turns < 2 * MANY);
		event_base_loop(h->w->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	}
	return turns;
}

/* Each of them once, in the order in which they came, but for those that are gone. */
static void
assert_found(const struct found *f, const uint64_t *ids, const bool *gone, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (gone[i])
			continue;
		assert_true(k < f->n);
		assert_int_equal(f->list[k++].id, ids[i]);
	}
	assert_int_equal(k, f->n);
}

static uint64_t
id_of(const struct house_link *l)
{
	return l->conn->mediate.self.conn_id;
}

static void
test_all(void **state)
{
	struct house_link *l[MANY];
	struct house *h = house_new("");
	struct found f = { .n = 0 };
	bool gone[MANY] = { false };
	uint64_t ids[MANY];

	(void)state;
	describe_start(&h->w->env, NULL, found_cb, &f);
	assert_int_equal(f.calls, 1);
	assert_int_equal(f.n, 0);
	dial_many(h, l, MANY);
	for (int i = 0; i < MANY; i++)
		ids[i] = id_of(l[i]);
	/* A worker has other things to do meanwhile. */
	describe_start(&h->w->env, NULL, found_cb, &f);
	assert_int_equal(f.calls, 1);
	assert_true(turns_until(h, &f, 2) >= 3);
	assert_found(&f, ids, gone, MANY);
	free(f.list);
	house_free(h);
}

static void
end_one(struct house_link *l, bool *gone)
{
	conn_kill(l->conn, CLOSE_SHUTDOWN);
	*gone = true;
}

/* The next one ends, those around it, the last one; and new ones come. */
static void
test_they_go(void **state)
{
	static const int ends[] = { 64, 65, 63, 150, 66, 199 };
	struct house_link *l[MANY + 1];
	struct house *h = house_new("");
	struct found f = { .n = 0 };
	bool gone[MANY + 1] = { false };
	uint64_t ids[MANY + 1];

	(void)state;
	dial_many(h, l, MANY);
	for (int i = 0; i < MANY; i++)
		ids[i] = id_of(l[i]);
	describe_start(&h->w->env, NULL, found_cb, &f);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		end_one(l[ends[i]], &gone[ends[i]]);
	l[MANY] = house_dial(h, false);
	ids[MANY] = id_of(l[MANY]);
	/* It was described before it ended. */
	gone[63] = false;
	turns_until(h, &f, 1);
	assert_found(&f, ids, gone, MANY + 1);
	free(f.list);
	house_free(h);
}

/* Several ask at once, and everybody has gone before they are told. */
static void
test_all_go(void **state)
{
	struct house_link *l[MANY];
	struct house *h = house_new("");
	struct found f = { .n = 0 };
	bool gone;

	(void)state;
	dial_many(h, l, MANY);
	for (int i = 0; i < 5; i++)
		describe_start(&h->w->env, NULL, found_cb, &f);
	for (int i = MANY; i-- > 0;)
		end_one(l[i], &gone);
	turns_until(h, &f, 5);
	assert_int_equal(f.calls, 5);
	assert_int_equal(f.n, 64);
	free(f.list);
	house_free(h);
}

static void
test_dropped(void **state)
{
	struct house_link *l[MANY];
	struct house *h = house_new("");
	struct found f = { .n = 0 };

	(void)state;
	dial_many(h, l, MANY);
	describe_start(&h->w->env, NULL, found_cb, &f);
	describe_start(&h->w->env, NULL, found_cb, &f);
	describe_drop(&h->w->env);
	assert_true(LIST_EMPTY(&h->w->env.cursors));
	house_free(h);
	assert_int_equal(f.calls, 0);
}

/* What a node's connections come to stands with the node; nobody asks them. */
static void
test_sums(void **state)
{
	struct house *h = house_new("");
	struct house_link *l[3];
	struct node *n = nodes_find_name(h->parts.nodes, "n1");

	(void)state;
	assert_non_null(n);
	for (unsigned i = 0; i < 3; i++) {
		l[i] = house_dial(h, false);
		l[i]->conn->node = node_ref(n);
		conn_count_node(l[i]->conn, n, 1);
		l[i]->conn->mediate.track.negotiated = true;
		l[i]->conn->mediate.track.logged_on = i > 0;
		l[i]->conn->mediate.track.unseen = i > 0;
		l[i]->conn->mediate.outstanding = i + 5;
		conn_tick(l[i]->conn, clock_ms());
		conn_tick(l[i]->conn, clock_ms());
	}
	/* Of what cannot be seen nothing is known to be asked. */
	assert_int_equal(n->outstanding, 5);
	assert_int_equal(n->unseen, 2);
	l[0]->conn->mediate.outstanding = 2;
	conn_tick(l[0]->conn, clock_ms());
	assert_int_equal(n->outstanding, 2);
	for (int i = 0; i < 3; i++)
		conn_kill(l[i]->conn, CLOSE_SHUTDOWN);
	assert_int_equal(n->outstanding, 0);
	assert_int_equal(n->unseen, 0);
	node_unref(&n);
	house_free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_they_go),
		cmocka_unit_test(test_all_go),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_sums),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
