/* daemon-process.c: what a process needed for a moment goes back to the system */
#include "config.h"

#include "daemon/process.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sanitizers have an allocator of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR true
#else
#define OWN_ALLOCATOR false
#endif

#define LARGE (16 << 20)
#define SMALL 1000
#define COUNT (LARGE / SMALL)

static void *
take(size_t n)
{
	void *p = malloc(n);

	if (p != NULL)
		memset(p, 1, n);
	return p;
}

static int64_t
rss(const struct process *p)
{
	struct process_use now;

	process_now(p, &now);
	return now.rss;
}

struct burst {
	const struct process *p;
	int64_t needed, kept;		/* bytes */
};

/* A large block raises what malloc keeps; then many small ones come and go. */
static void *
burst(void *arg)
{
	struct burst *b = arg;
	void **all = calloc(COUNT, sizeof(*all));
	void *volatile large;	/* it is not optimized away */
	int64_t before;

	if (all == NULL)
		return NULL;
	large = take(LARGE);
	free(large);
	before = rss(b->p);
	for (size_t i = 0; i < COUNT; i++)
		all[i] = take(SMALL);
	b->needed = rss(b->p) - before;
	for (size_t i = 0; i < COUNT; i++)
		free(all[i]);
	b->kept = rss(b->p) - before;
	free(all);
	return NULL;
}

static void
test_memory(void **state)
{
	struct process p;
	struct burst b = { .p = &p };
	pthread_t thread;

	(void)state;
	process_memory();
	process_open(&p);
	/* Threads have arenas of their own. */
	for (int other = 0; other < 2; other++) {
		if (other == 0) {
			(void)burst(&b);
		} else {
			assert_int_equal(pthread_create(&thread, NULL, burst, &b), 0);
			assert_int_equal(pthread_join(thread, NULL), 0);
		}
		print_message("# %jd bytes, %jd of them kept\n", (intmax_t)b.needed,
		    (intmax_t)b.kept);
		assert_true(b.needed > LARGE / 2);
		assert_true(b.kept < LARGE / 4);
		b.needed = b.kept = 0;
	}
	process_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
	};

	if (OWN_ALLOCATOR) {
		puts("1..0 # SKIP the sanitizer has an allocator of its own");
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
