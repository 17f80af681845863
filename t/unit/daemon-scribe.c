/* daemon-scribe.c: the scribe's thread works, delivers, and keeps nobody waiting for a lock */
#include "config.h"

#include "daemon/scribe.h"
#include "proxy/mailbox.h"

#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

struct piece {
	struct scribe_job job;		/* the first member */
	struct event_base *base;
	bool worked, delivered, dropped;
};

/* The linker's --wrap wants these names. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_mailbox_post(struct mailbox *m, void (*f)(void *arg), void *arg);
int __wrap_mailbox_post(struct mailbox *m, void (*f)(void *arg), void *arg);
/* NOLINTEND(bugprone-reserved-identifier) */

/* What is asked while the first job's end is told; NULL: nothing. */
static struct scribe *asked;
static struct piece second;
static atomic_bool posted;

/*
 * Whoever is told may run before the scribe's thread goes on, and must not wait for it. It is told
 * by this function, so what it would do is done here: with the lock held, this never returns.
 */
int
__wrap_mailbox_post(struct mailbox *m, void (*f)(void *arg), void *arg)
{
	struct scribe *s = asked;
	int r;

	asked = NULL;
	if (s != NULL)
		assert_true(scribe_ask(s, &second.job));
	r = __real_mailbox_post(m, f, arg);

	atomic_store(&posted, true);
	return r;
}

static void
work(struct scribe_job *j)
{
	struct piece *p = (struct piece *)j;

	p->worked = true;
}

static void
done(struct scribe_job *j, bool dropped)
{
	struct piece *p = (struct piece *)j;

	p->delivered = true;
	p->dropped = dropped;
	if (p == &second)
		event_base_loopbreak(p->base);
}

static void
test_lock(void **state)
{
	struct event_base *base = event_base_new();
	struct mailbox *m = mailbox_new(base);
	struct scribe *s = scribe_new(m);
	struct piece first = { .job = { .work = work, .done = done }, .base = base };

	(void)state;
	second = first;
	assert_false(scribe_ask(s, &first.job));
	asked = s;
	assert_int_equal(scribe_start(s), 0);
	/* A thread that waits for its own lock waits for good. */
	alarm(60);
	assert_true(scribe_ask(s, &first.job));
	event_base_dispatch(base);
	alarm(0);
	assert_true(first.worked && first.delivered && !first.dropped);
	assert_true(second.worked && second.delivered && !second.dropped);
	scribe_free(&s);
	assert_null(s);
	mailbox_free(&m);
	event_base_free(base);
}

/* What nobody has taken when all is over is given back to whoever has asked. */
static void
test_dropped(void **state)
{
	struct event_base *base = event_base_new();
	struct mailbox *m = mailbox_new(base);
	struct scribe *s = scribe_new(m);
	struct piece one = { .job = { .work = work, .done = done }, .base = base };

	(void)state;
	assert_int_equal(scribe_start(s), 0);
	assert_true(scribe_ask(s, &one.job));
	scribe_free(&s);
	assert_true(one.delivered && one.dropped);
	mailbox_drain(m);
	mailbox_free(&m);
	event_base_free(base);
}

static void
note(void *arg)
{
	bool *noted = arg;

	*noted = true;
}

/* The end comes between work and delivery: others' calls are carried out, its own is not. */
static void
test_freed_before_delivery(void **state)
{
	struct event_base *base = event_base_new();
	struct mailbox *m = mailbox_new(base);
	struct scribe *s = scribe_new(m);
	struct piece one = { .job = { .work = work, .done = done }, .base = base };
	bool before = false, after = false;

	(void)state;
	assert_int_equal(scribe_start(s), 0);
	assert_int_equal(__real_mailbox_post(m, note, &before), 0);
	atomic_store(&posted, false);
	assert_true(scribe_ask(s, &one.job));
	alarm(60);
	while (!atomic_load(&posted))
		sched_yield();
	alarm(0);
	assert_int_equal(__real_mailbox_post(m, note, &after), 0);
	scribe_free(&s);
	assert_true(one.worked && one.delivered && one.dropped);
	mailbox_drain(m);
	assert_true(before && after);
	mailbox_free(&m);
	event_base_free(base);
}

/* The scribe is in the middle of it. */
struct long_piece {
	struct piece piece;		/* the first member */
	sem_t begun, go_on;
};

static void
long_work(struct scribe_job *j)
{
	struct long_piece *p = (struct long_piece *)j;

	sem_post(&p->begun);
	while (sem_wait(&p->go_on) == -1)
		;
	work(j);
}

#define MANY 100

/* What nobody wants any more is not done, and goes at once; what is begun is finished. */
static void
test_forgotten(void **state)
{
	struct event_base *base = event_base_new();
	struct mailbox *m = mailbox_new(base);
	struct scribe *s = scribe_new(m);
	struct long_piece first = { .piece = { .job = { .work = long_work, .done = done } } };
	struct piece more[MANY];

	(void)state;
	sem_init(&first.begun, 0, 0);
	sem_init(&first.go_on, 0, 0);
	second = (struct piece){ .job = { .work = work, .done = done }, .base = base };
	assert_int_equal(scribe_start(s), 0);
	alarm(60);
	assert_true(scribe_ask(s, &first.piece.job));
	while (sem_wait(&first.begun) == -1)
		;
	for (int i = 0; i < MANY; i++) {
		more[i] = second;
		assert_true(scribe_ask(s, &more[i].job));
	}
	/* From the end, from the front, and from the middle. */
	for (int i = 0; i < MANY; i++) {
		struct piece *p = &more[i % 2 == 0 ? MANY - 1 - i / 2 : i / 2];

		scribe_forget(s, &p->job);
		assert_true(p->delivered && p->dropped && !p->worked);
	}
	scribe_forget(s, &first.piece.job);
	assert_false(first.piece.delivered);
	assert_true(scribe_ask(s, &second.job));
	sem_post(&first.go_on);
	event_base_dispatch(base);
	alarm(0);
	assert_true(first.piece.worked && first.piece.delivered && !first.piece.dropped);
	assert_true(second.worked && second.delivered && !second.dropped);
	scribe_free(&s);
	mailbox_free(&m);
	event_base_free(base);
	sem_destroy(&first.begun);
	sem_destroy(&first.go_on);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_freed_before_delivery),
		cmocka_unit_test(test_forgotten),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
