/* proxy-edges.c: each edge is reported once, whoever watches a socket, and none of a closed one */
#include "config.h"

#include "proxy/edges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* More than there are events to lend. */
#define SOCKETS 200

struct sock {
	struct edge edge;
	int peer;
	unsigned reads;
	short what;			/* all that was reported */
};

static struct sock *socks;
static struct event_base *base;
static struct edges *edges;
static struct sock *victim;		/* the next one that is reported ends this one */

static void
edge_cb(evutil_socket_t fd, short what, void *arg)
{
	struct sock *s = arg;
	char c[16];

	(void)fd;
	assert_true(s->edge.watched);
	s->what = (short)(s->what | what);
	if ((what & EV_READ) != 0 && recv(s->edge.fd, c, sizeof(c), MSG_DONTWAIT) > 0)
		s->reads++;
	if (victim != NULL && victim != s) {
		edges_del(edges, &victim->edge);
		close(victim->edge.fd);
		victim->edge.fd = -1;
		victim = NULL;
	}
}

static void
turn(void)
{
	for (int i = 0; i < 3; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
say(const struct sock *s)
{
	assert_int_equal(send(s->peer, "x", 1, 0), 1);
}

static int
setup(void **state)
{
	int fds[2];

	(void)state;
	victim = NULL;
	base = event_base_new();
	edges = edges_new(base, edge_cb);
	socks = calloc(SOCKETS, sizeof(*socks));
	for (int i = 0; i < SOCKETS; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		socks[i].edge.fd = fds[0];
		socks[i].peer = fds[1];
		assert_int_equal(edges_add(edges, &socks[i].edge), 0);
	}
	turn();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < SOCKETS; i++) {
		edges_del(edges, &socks[i].edge);
		edges_del(edges, &socks[i].edge);
		if (socks[i].edge.fd != -1)
			close(socks[i].edge.fd);
		close(socks[i].peer);
	}
	edges_free(&edges);
	assert_null(edges);
	event_base_free(base);
	free(socks);
	return 0;
}

/* Who can be written to is told so at the beginning, and who is gone at the end. */
static void
beginning_and_end(void **state)
{
	(void)state;
	for (int i = 0; i < SOCKETS; i++)
		assert_int_equal(socks[i].what, EV_WRITE);
	shutdown(socks[7].peer, SHUT_WR);
	turn();
	assert_true((socks[7].what & EV_CLOSED) != 0);
	assert_int_equal(socks[8].what, EV_WRITE);
}

static void
many_at_once(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 100; n++) {
		for (int i = 0; i < SOCKETS; i++)
			say(&socks[i]);
		turn();
		for (int i = 0; i < SOCKETS; i++) {
			assert_int_equal(socks[i].reads, n);
			assert_int_equal(socks[i].edge.lent, 0);
		}
	}
}

/* More of them than there are events: the first ones give theirs back, and miss nothing. */
static void
one_by_one(void **state)
{
	unsigned lent = 0;

	(void)state;
	for (int i = 0; i < SOCKETS; i++) {
		for (unsigned n = 1; n <= 100; n++) {
			say(&socks[i]);
			turn();
			assert_int_equal(socks[i].reads, n);
		}
		assert_int_not_equal(socks[i].edge.lent, 0);
	}
	for (int i = 0; i < SOCKETS; i++) {
		say(&socks[i]);
		turn();
		assert_int_equal(socks[i].reads, 101);
		lent += socks[i].edge.lent != 0;
	}
	assert_int_equal(lent, 128);
}

/* One of a batch ends another one of it, which is behind it, or before. */
static void
ended_by_another(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		say(&socks[4 * first]);
		say(&socks[4 * first + 1]);
		socks[4 * first].what = socks[4 * first + 1].what = 0;
		victim = &socks[4 * first + 1 - first];
		turn();
		assert_null(victim);
	}
	/* Whoever was reported first had read before he was ended. */
	assert_int_equal(socks[0].reads, 1);
	assert_int_equal(socks[4].reads, 1);
	assert_int_equal(socks[5].reads, 1);
	assert_int_equal(socks[1].reads, 0);
	assert_int_equal(socks[1].what, 0);
}

/* The same where both have events of their own. */
static void
ended_while_lent(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		for (unsigned n = 0; n < 100; n++) {
			say(&socks[i]);
			turn();
		}
	assert_int_not_equal(socks[0].edge.lent, 0);
	assert_int_not_equal(socks[1].edge.lent, 0);
	say(&socks[0]);
	say(&socks[1]);
	victim = &socks[1];
	turn();
	assert_false(socks[1].edge.watched);
	assert_int_equal(socks[1].edge.lent, 0);
	assert_int_equal(socks[0].reads, 101);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(beginning_and_end, setup, teardown),
		cmocka_unit_test_setup_teardown(many_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(one_by_one, setup, teardown),
		cmocka_unit_test_setup_teardown(ended_by_another, setup, teardown),
		cmocka_unit_test_setup_teardown(ended_while_lent, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
