/* proxy-lost.c: connections of clients that are to end do so over several turns */
#include "config.h"

#include "base/clock.h"
#include "proxy/conn.h"
#include "proxy/lost.h"
#include "proxy/parting.h"
#include "t/unit/lib/house.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

/* More than a turn's worth, each of CLIENTS with as many connections as the others. */
#define MANY 256
#define EARLIER 200
#define CLIENTS 8

static struct state_key
key(unsigned n)
{
	return (struct state_key){ .b = { STATE_KEY_GUID, (uint8_t)n } };
}

static void
dial(struct house *h, struct house_link **l, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		l[i] = house_dial(h, false);
		l[i]->conn->route.key = key(i % CLIENTS);
	}
}

static void
lose(struct house *h, unsigned n)
{
	const struct state_key k = key(n);

	assert_int_equal(lost_add(h->w->env.lost, &k, 0, clock_ms(), CLOSE_CLAIM_LOST), 0);
}

static void
order_end(struct house *h, const struct client_ref *who)
{
	const struct parting p = { .n = 1, .who[0] = *who };

	worker_part(h->w, WORKER_END, &p, 0, NULL, NULL);
}

/* Until nobody goes through the connections any more; how many turns that took. */
static unsigned
turns(struct house *h)
{
	unsigned n = 0;

	for (; !LIST_EMPTY(&h->w->env.cursors); n++) {
		assert_true(n < 100);
		event_base_loop(h->w->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	}
	return n;
}

static void
is_left(struct house_link **l, unsigned n, unsigned lost)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(house_lives(l[i]), (lost >> i % CLIENTS & 1) == 0);
}

/* All of one client, and nobody else's. */
static void
test_one(void **state)
{
	struct house_link *l[MANY];
	struct house *h = house_new("");

	(void)state;
	lose(h, 1);
	assert_int_equal(turns(h), 1);
	dial(h, l, MANY);
	lose(h, 1);
	lose(h, CLIENTS + 1);
	is_left(l, MANY, 0);
	(void)turns(h);
	is_left(l, MANY, 1 << 1);
	house_free(h);
}

/* Many at once are one walk, and those that come meanwhile another one. */
static void
test_crowd(void **state)
{
	struct house_link *l[MANY];
	struct house *h = house_new("");

	(void)state;
	dial(h, l, MANY);
	lose(h, 0);
	for (unsigned i = 1; i < CLIENTS - 1; i++) {
		lose(h, i);
		lose(h, i);
	}
	for (unsigned i = 0; i < 20000; i++) {
		const struct state_key k = { .b = { STATE_KEY_GUID, 255, (uint8_t)i,
			(uint8_t)(i >> 8) } };

		assert_int_equal(lost_add(h->w->env.lost, &k, 0, clock_ms(), CLOSE_CLAIM_LOST), 0);
	}
	assert_true(turns(h) <= 6);
	is_left(l, MANY, (1 << (CLIENTS - 1)) - 1);
	house_free(h);
}

/* Who comes when its client is found to be elsewhere may be in its right place. */
static void
test_later(void **state)
{
	struct house_link *l[CLIENTS], *late;
	struct house *h = house_new("");

	(void)state;
	dial(h, l, CLIENTS);
	lose(h, 3);
	late = house_dial(h, false);
	late->conn->route.key = key(3);
	late->conn->accepted_ms = clock_ms() + 1;
	(void)turns(h);
	is_left(l, CLIENTS, 1 << 3);
	assert_true(house_lives(late));
	house_free(h);
}

/* Connections end by themselves meanwhile, the next one to be seen too; and the worker does. */
static void
test_they_go(void **state)
{
	struct house_link *l[EARLIER];
	struct house *h = house_new("");

	(void)state;
	dial(h, l, EARLIER);
	lose(h, 2);
	lose(h, 5);
	for (unsigned i = 0; i < EARLIER; i += 3)
		conn_kill(l[i]->conn, CLOSE_SHUTDOWN);
	(void)turns(h);
	for (unsigned i = 0; i < EARLIER; i++)
		assert_int_equal(house_lives(l[i]),
		    i % 3 != 0 && i % CLIENTS != 2 && i % CLIENTS != 5);
	lose(h, 1);
	lose(h, 7);
	house_free(h);
}

/* By ClientGuid or, where there is none, by number; a key of zeros means nobody. */
static void
test_operator(void **state)
{
	struct house_link *l[CLIENTS], *fresh;
	struct house *h = house_new("");
	struct client_ref who = { .key = key(2) };

	(void)state;
	dial(h, l, CLIENTS);
	fresh = house_dial(h, false);
	l[5]->conn->route.key.b[0] = STATE_KEY_ADDR;
	order_end(h, &who);
	order_end(h, &(struct client_ref){ .key = l[5]->conn->route.key });
	order_end(h, &(struct client_ref){ .key.b = { 0 } });
	house_turn(h);
	(void)turns(h);
	is_left(l, CLIENTS, 1 << 2);
	who = (struct client_ref){ .conn_id = l[5]->conn->mediate.self.conn_id };
	order_end(h, &who);
	house_turn(h);
	(void)turns(h);
	is_left(l, CLIENTS, 1 << 2 | 1 << 5);
	assert_true(house_lives(fresh));
	house_free(h);
}

/* Another process goes on in a moment: who is to end does so here. */
static void
test_at_once(void **state)
{
	struct house_link *l[MANY];
	struct house *h = house_new("");

	(void)state;
	dial(h, l, MANY);
	lose(h, 1);
	house_turn(h);
	lose(h, 3);
	lost_finish(h->w->env.lost);
	is_left(l, MANY, 1 << 1 | 1 << 3);
	assert_true(LIST_EMPTY(&h->w->env.cursors));
	house_turn(h);
	lose(h, 4);
	(void)turns(h);
	is_left(l, MANY, 1 << 1 | 1 << 3 | 1 << 4);
	house_free(h);
}

/*
 * A deadline of a drain: thousands of clients, each worker is told of all of them, and has as many
 * connections that have nothing to do with it. These do not wait for seconds.
 */
#define CROWD 20000
#define ORDERS 600
#define STALL_US 300000

static void
test_others_go_on(void **state)
{
	struct house *h = house_new("");
	struct conn_env *env = &h->w->env;
	struct conn *c = calloc(CROWD, sizeof(*c));
	struct parting p = { .n = PARTING_MAX };
	uint64_t since, longest = 0;

	(void)state;
	assert_non_null(c);
	for (unsigned i = 0; i < CROWD; i++) {
		c[i].stage = CONN_RELAY;
		c[i].route.key = (struct state_key){ .b = { STATE_KEY_GUID, 254, (uint8_t)i,
			(uint8_t)(i >> 8) } };
		TAILQ_INSERT_TAIL(&env->conns, &c[i], entry);
	}
	for (unsigned i = 0; i < ORDERS; i++) {
		for (unsigned k = 0; k < PARTING_MAX; k++)
			p.who[k] = (struct client_ref){ .key.b = { STATE_KEY_GUID, 255,
				(uint8_t)k, (uint8_t)i, (uint8_t)(i >> 8) } };
		worker_part(h->w, WORKER_END, &p, 0, NULL, NULL);
	}
	do {
		since = clock_thread_us();
		event_base_loop(h->w->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
		if (clock_thread_us() - since > longest)
			longest = clock_thread_us() - since;
	} while (!LIST_EMPTY(&env->cursors));
	print_message("# the longest turn: %u ms of CPU time\n", (unsigned)(longest / 1000));
	assert_true(longest < STALL_US);
	for (unsigned i = 0; i < CROWD; i++)
		TAILQ_REMOVE(&env->conns, &c[i], entry);
	free(c);
	house_free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_they_go),
		cmocka_unit_test(test_operator),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_others_go_on),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
