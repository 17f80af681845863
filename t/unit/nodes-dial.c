/* nodes-dial.c: unit tests of what a connect that failed says: the node's trouble and our own */
#include "config.h"

#include "nodes/dial.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
faults(void **state)
{
	static const struct {
		int err;
		enum dial_fault at_once, later;
	} rows[] = {
		{ ECONNREFUSED, DIAL_NODE, DIAL_NODE },
		{ ECONNRESET, DIAL_NODE, DIAL_NODE },
		{ ETIMEDOUT, DIAL_NODE, DIAL_NODE },
		{ EHOSTDOWN, DIAL_NODE, DIAL_NODE },
		{ EHOSTUNREACH, DIAL_NETWORK, DIAL_NODE },
		{ ENETUNREACH, DIAL_NETWORK, DIAL_NODE },
		{ ENETDOWN, DIAL_NETWORK, DIAL_NETWORK },
		{ EAFNOSUPPORT, DIAL_NETWORK, DIAL_NETWORK },
		{ EADDRNOTAVAIL, DIAL_PORTS, DIAL_PORTS },
		{ EADDRINUSE, DIAL_PORTS, DIAL_PORTS },
		{ EMFILE, DIAL_FILES, DIAL_FILES },
		{ ENFILE, DIAL_FILES, DIAL_FILES },
		{ ENOBUFS, DIAL_MEMORY, DIAL_MEMORY },
		{ ENOMEM, DIAL_MEMORY, DIAL_MEMORY },
		{ EACCES, DIAL_DENIED, DIAL_NODE },
		{ EPERM, DIAL_DENIED, DIAL_NODE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(dial_fault(rows[i].err, true), rows[i].at_once);
		assert_int_equal(dial_fault(rows[i].err, false), rows[i].later);
	}
}

/* Each of our own has a cure that is its own. */
static void
cures(void **state)
{
	(void)state;
	for (int a = 0; a < DIAL_FAULTS; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(dial_cure((enum dial_fault)a),
			    dial_cure((enum dial_fault)b));
	assert_non_null(strstr(dial_cure(DIAL_PORTS), "ip_local_port_range"));
	assert_non_null(strstr(dial_cure(DIAL_FILES), "LimitNOFILE"));
}

static void
once_a_minute(void **state)
{
	struct dial_log l = { .left_out = { 0 } };
	unsigned left_out = 7, lines = 0;

	(void)state;
	assert_true(dial_may_log(&l, DIAL_PORTS, 1000, &left_out));
	assert_int_equal(left_out, 0);
	for (unsigned i = 0; i < 1000; i++)
		lines += dial_may_log(&l, DIAL_PORTS, 1000 + i * 59, &left_out);
	assert_int_equal(lines, 0);
	/* One kind does not silence another. */
	assert_true(dial_may_log(&l, DIAL_FILES, 1001, &left_out));
	assert_true(dial_may_log(&l, DIAL_PORTS, 61000, &left_out));
	assert_int_equal(left_out, 1000);
	assert_false(dial_may_log(&l, DIAL_PORTS, 61001, &left_out));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults),
		cmocka_unit_test(cures),
		cmocka_unit_test(once_a_minute),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
