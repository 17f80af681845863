/* daemon-places.c: how many clients there are descriptors for */
#include "config.h"

#include "daemon/places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Whatever the limit: clients, two each, and the reserve fit into it, where it is not absurd. */
static void
test_reserve(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 64; workers *= 2) {
		for (uint64_t n = 1024 + 128 * workers; n < 20000000; n = n * 5 / 3) {
			uint64_t clients = places_count(n, workers, 2, false);

			assert_true(clients > 0);
			/* 64 probes, 16 peers, and the pipes of each worker. */
			assert_true(2 * clients + 64 + 16 + 64 * workers < n);
			assert_true(clients >= places_count(n, workers + 1, 2, false));
			assert_true(clients <= places_count(n + 2, workers, 2, false));
			/* And 32 peers over HTTP. */
			assert_true(2 * places_count(n + 48, workers, 2, true) + 64 + 16 + 32 +
			        64 * workers < n + 48);
			assert_true(places_count(n, workers, 2, true) <= clients);
		}
	}
}

static void
test_edges(void **state)
{
	(void)state;
	/* Too few for the reserve: clients get their share. */
	assert_int_equal(places_count(256, 2, 1, false), 32);
	assert_int_equal(places_count(0, 2, 1, false), 0);
	/* No limit at all. */
	assert_int_equal(places_count(UINT64_MAX, 64, 16, false), 10000000);
	/* The systemd unit's. */
	assert_true(places_count(1048576, 16, 4, false) > 500000);
	/* 256 probes, where there is enough; where there is not, clients have two fifths still. */
	assert_true(2 * places_count(8192, 2, 1, false) + 256 < 8192);
	assert_true(2 * places_count(400, 1, 1, false) > 400 * 2 / 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_edges),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
