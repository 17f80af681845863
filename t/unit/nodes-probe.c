/* nodes-probe.c: probes whose connection fails as they begin, and memory that runs out */
#include "config.h"

#include "nodes/health.h"
#include "nodes/node.h"
#include "nodes/own.h"
#include "nodes/probe.h"
#include "policy/policy.h"
#include "stats/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <event2/event.h>

/*
 * The linker's --wrap leads the calls of socket() and so on here; __real_ is what they meant. The
 * names are its own.
 */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags);
struct event *__real_event_new(struct event_base *b, evutil_socket_t fd, short what,
    event_callback_fn f, void *arg);
struct event *__wrap_event_new(struct event_base *b, evutil_socket_t fd, short what,
    event_callback_fn f, void *arg);
/* NOLINTEND(bugprone-reserved-identifier) */

static unsigned sends, resets;	/* resets: how many of the next sends meet one */
static int events_left = -1;	/* until one cannot be had; -1: there are enough */

/* What can be written to, and has nothing to be read. */
int
__wrap_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

int
__wrap_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	(void)fd;
	(void)to;
	(void)len;
	errno = EINPROGRESS;
	return -1;
}

int
__wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	(void)fd;
	(void)level;
	(void)name;
	memset(value, 0, *len);
	return 0;
}

ssize_t
__wrap_send(int fd, const void *p, size_t n, int flags)
{
	(void)fd;
	(void)p;
	(void)flags;
	sends++;
	if (sends > resets)
		return (ssize_t)n;
	errno = EPIPE;
	return -1;
}

ssize_t
__wrap_recv(int fd, void *p, size_t n, int flags)
{
	(void)fd;
	(void)p;
	(void)n;
	(void)flags;
	errno = sends > resets ? EAGAIN : ECONNRESET;
	return -1;
}

struct event *
__wrap_event_new(struct event_base *b, evutil_socket_t fd, short what, event_callback_fn f,
    void *arg)
{
	if (events_left == 0)
		return NULL;
	events_left -= events_left > 0;
	return __real_event_new(b, fd, what, f, arg);
}

struct lab {
	struct event_base *base;
	struct policy *policy;
	struct pol_node row;
	struct nodes *nodes;
	struct stats stats;
	struct own own;
	struct node *node;
	struct probe probe;
	unsigned done;
};

static void
lab_new(struct lab *l)
{
	memset(l, 0, sizeof(*l));
	l->base = event_base_new();
	l->policy = policy_new();
	l->nodes = nodes_new();
	assert_true(l->base != NULL && l->policy != NULL && l->nodes != NULL);
	l->row.weight = 1;
	snprintf(l->row.name, sizeof(l->row.name), "a");
	assert_int_equal(addrport_parse(&l->row.address, "127.0.0.1:445", 0), 0);
	l->policy->nnodes = 1;
	l->policy->nodes = &l->row;
	l->own.stats = &l->stats;
	nodes_apply(l->nodes, l->policy, 1);
	l->node = nodes_find_name(l->nodes, "a");
	assert_non_null(l->node);
}

static void
lab_free(struct lab *l)
{
	node_unref(&l->node);
	nodes_free(&l->nodes);
	l->policy->nnodes = 0;
	l->policy->nodes = NULL;
	policy_unref(&l->policy);
	event_base_free(l->base);
}

/* As health.c does: who closes on SMB2 is asked in SMB1 at once. */
static void
done_cb(void *arg, enum probe_end end, const char *why)
{
	struct lab *l = arg;

	(void)why;
	assert_int_equal(end, PROBE_CLOSED);
	l->done++;
	probe_start(&l->probe, true, 60000);
}

/* The question meets a reset, and the next one begins then, on a socket of the same number. */
static void
reset(void **state)
{
	struct lab l;

	(void)state;
	lab_new(&l);
	sends = 0;
	resets = 1;
	assert_int_equal(probe_init(&l.probe, l.base, l.node, &l.own, done_cb, &l), 0);
	probe_start(&l.probe, false, 60000);
	for (int i = 0; i < 10; i++)
		event_base_loop(l.base, EVLOOP_NONBLOCK);
	assert_int_equal(l.done, 1);
	assert_int_equal(sends, 2);
	assert_true(l.probe.smb1 && l.probe.sent && probe_is_out(&l.probe));
	probe_fini(&l.probe);
	lab_free(&l);
}

static void
doubt_cb(void *arg, struct node *n)
{
	(void)arg;
	(void)n;
}

/* A node that cannot be watched is not; whatever was made of it is undone, and nothing else. */
static void
memory(void **state)
{
	struct health *h;
	struct lab l;

	(void)state;
	if (fcntl(0, F_GETFD) == -1)
		assert_int_equal(open("/dev/null", O_RDONLY), 0);
	for (int n = 0; n < 4; n++) {
		lab_new(&l);
		h = health_new(l.base, l.nodes, false, &l.stats, doubt_cb, NULL);
		assert_non_null(h);
		events_left = n;
		health_policy(h, l.policy);
		assert_int_equal(events_left, 0);
		events_left = -1;
		assert_int_not_equal(fcntl(0, F_GETFD), -1);
		health_free(&h);
		assert_int_not_equal(fcntl(0, F_GETFD), -1);
		lab_free(&l);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reset),
		cmocka_unit_test(memory),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
