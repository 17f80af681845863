/* state-wake.c: nobody is woken by who holds the lock that they will want */
#include "config.h"

#include "base/clock.h"
#include "state/link_conf.h"
#include "state/queries.h"
#include "state/record.h"
#include "state/shared.h"
#include "state/state.h"
#include "state/wake.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

/*
 * The linker's --wrap leads the calls of write() and so on here; __real_ is what they meant. The
 * names are its own.
 */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
/* NOLINTEND(bugprone-reserved-identifier) */

static unsigned held, wakes, wakes_held;

int
__wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
	held++;
	return __real_pthread_mutex_lock(lock);
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
	held--;
	return __real_pthread_mutex_unlock(lock);
}

/* An eventfd is written to. */
ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
	wakes++;
	wakes_held += held > 0;
	return __real_write(fd, p, n);
}

static int
mac(const void *arg, const char *label, const void *a, size_t an, const void *b, size_t bn,
    uint8_t out[32])
{
	(void)arg;
	(void)label;
	(void)a;
	(void)bn;
	memset(out, 'm', 32);
	if (bn > 0)
		memcpy(out, b, bn < 8 ? bn : 8);
	out[8] = (uint8_t)an;
	return 0;
}

static struct event_base *base;
static struct wake *keeper;

static void
woken_cb(void *arg)
{
	(void)arg;
}

/* As many as that have been woken since the last time, and by nobody who held a lock. */
static void
woken(unsigned n)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(wakes_held, 0);
	assert_int_equal(wakes, n);
	wakes = 0;
}

static int
setup(void **state)
{
	(void)state;
	base = event_base_new();
	keeper = base == NULL ? NULL : wake_new(base, woken_cb, NULL);
	held = wakes = wakes_held = 0;
	return keeper == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	wake_free(&keeper);
	event_base_free(base);
	return 0;
}

static void
answer(struct shared *m, int how)
{
	struct shared_result r = { .how = how };
	struct state_key lost;
	struct shared_op op;
	struct record rec;

	assert_int_equal(shared_take(m, &op, 1, true), 1);
	if (how != -1 && op.kind != 'r') {
		record_make(&rec, shared_seal(m), "claim", op.id, NAMES_ID_LEN, 1, "n1");
		r.record = rec.bytes;
		r.len = rec.len;
	}
	(void)shared_done(m, &op, &r, &lost);
}

static void
claims(void **state)
{
	const struct record_seal seal = { .mac = mac };
	struct link_conf conf = { .timeout_ms = 20 };
	struct shared *m = shared_new(&conf, &seal, 10);
	const struct state_key key = { .b = { STATE_KEY_GUID } };
	const struct state_reset reset = { .age_ms = 1 };
	struct state_hold h[2];
	struct shared_port port[2];
	struct state_claim c;
	uint64_t next;

	(void)state;
	assert_non_null(m);
	shared_keep(m, keeper, NULL, NULL);
	shared_online(m, true, false);
	for (int i = 0; i < 2; i++) {
		TAILQ_INIT(&port[i].ready);
		port[i].wake = wake_new(base, woken_cb, NULL);
		assert_non_null(port[i].wake);
		h[i] = (struct state_hold){ .m = m, .port = &port[i] };
	}
	/* Redis is to be asked; it answers the first, who decides, and then the second. */
	assert_int_equal(shared_claim(&h[0], &key, "n1", "n1", &c), SHARED_LATER);
	assert_int_equal(shared_claim(&h[1], &key, "n1", "n1", &c), SHARED_LATER);
	woken(1);
	answer(m, HOW_MADE);
	woken(1);
	assert_ptr_equal(shared_next(m, &port[0], &c), &h[0]);
	shared_settle(&h[0]);
	woken(1);
	assert_ptr_equal(shared_next(m, &port[1], &c), &h[1]);
	/* There is something to be said. */
	shared_firm(&h[0], 1000);
	woken(1);
	shared_put_reset(m, &reset);
	woken(1);
	shared_rehome(m, "");
	woken(1);
	shared_leave(&h[0], 0);
	shared_leave(&h[1], 0);
	woken(1);
	answer(m, HOW_HELD);
	/* No answer comes in time, or Redis is gone. */
	for (int gone = 0; gone < 2; gone++) {
		for (int i = 0; i < 2; i++) {
			h[i] = (struct state_hold){ .m = m, .port = &port[i] };
			assert_int_equal(shared_claim(&h[i], &key, "n1", "n1", &c), SHARED_LATER);
		}
		woken(1);
		if (gone == 1) {
			shared_online(m, false, false);
		} else {
			const uint64_t end = clock_ms() + conf.timeout_ms;

			while (clock_ms() < end)
				usleep(1000);
			(void)shared_expire(m, &next);
		}
		/* The keeper as well, or not; the second has to wait for the first, or has not. */
		woken(gone == 0 ? 3 : 1);
		for (int i = 0; i < 2; i++) {
			assert_ptr_equal(shared_next(m, &port[i], &c), &h[i]);
			shared_settle(&h[i]);
		}
		woken(gone == 0 ? 0 : 1);
		shared_leave(&h[0], 0);
		shared_leave(&h[1], 0);
		wakes = 0;
	}
	shared_keep(m, NULL, NULL, NULL);
	shared_free(&m);
	wake_free(&port[0].wake);
	wake_free(&port[1].wake);
}

static void
fact_cb(void *arg, const struct state_fact *f)
{
	(void)arg;
	(void)f;
}

static void
questions(void **state)
{
	const struct query_about about = { .likely = true };
	struct queries *all = queries_new();
	uint8_t id[NAMES_ID_LEN], sid[NAMES_ID_LEN];
	struct queries_port port;

	(void)state;
	assert_non_null(all);
	TAILQ_INIT(&port.answered);
	port.wake = wake_new(base, woken_cb, NULL);
	assert_non_null(port.wake);
	queries_keep(all, keeper);
	assert_non_null(queries_ask(all, &port, &about, 10, fact_cb, NULL));
	woken(1);
	queries_answered(queries_asked(all, id, sid), NULL, true);
	woken(1);
	assert_non_null(queries_ask(all, &port, &about, 10, fact_cb, NULL));
	woken(1);
	while (queries_expire(all) != 0)
		;
	woken(1);
	queries_answer(all, &port);
	queries_keep(all, NULL);
	queries_free(&all);
	wake_free(&port.wake);
}

/* More than are remembered are woken all the same, and nobody twice. */
static void
many(void **state)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct wakes all = { .n = 0 };
	struct wake *w[WAKES_MAX + 1];

	(void)state;
	for (size_t i = 0; i < WAKES_MAX + 1; i++) {
		w[i] = wake_new(base, woken_cb, NULL);
		assert_non_null(w[i]);
	}
	for (int round = 0; round < 2; round++) {
		pthread_mutex_lock(&lock);
		wakes_add(&all, NULL);
		for (size_t i = 0; i < 2 * WAKES_MAX; i++)
			wakes_add(&all, w[i % WAKES_MAX]);
		assert_int_equal(wakes, 0);
		wakes_unlock(&all, &lock);
		woken(WAKES_MAX);
	}
	for (size_t i = 0; i < WAKES_MAX + 1; i++)
		wakes_add(&all, w[i]);
	assert_int_equal(wakes, 1);
	pthread_mutex_lock(&lock);
	wakes_unlock(&all, &lock);
	woken(WAKES_MAX + 1);
	for (size_t i = 0; i < WAKES_MAX + 1; i++)
		wake_free(&w[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(claims, setup, teardown),
		cmocka_unit_test_setup_teardown(questions, setup, teardown),
		cmocka_unit_test_setup_teardown(many, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
