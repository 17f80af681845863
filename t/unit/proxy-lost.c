/* proxy-lost.c: connections of clients that live elsewhere by now end, over several turns */
#include "config.h"

#include "base/clock.h"
#include "proxy/conn.h"
#include "proxy/lost.h"
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

	assert_int_equal(lost_add(h->w->env.lost, &k), 0);
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

		assert_int_equal(lost_add(h->w->env.lost, &k), 0);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_they_go),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
