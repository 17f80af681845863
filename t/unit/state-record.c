/* state-record.c: records: whose seal they have, what fits; the exceptions that are kept of them */
#include "config.h"

#include "state/exceptions.h"
#include "state/record.h"
#include "state/state.h"
#include "t/unit/lib/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void
test_record(void **state)
{
	char text[STATE_NODE_LEN], bytes[RECORD_MAX];
	struct record r;
	uint64_t when;

	(void)state;
	record_make(&r, &seal, "claim", "id", 2, 1700000000123, "n1=10.0.0.1:445");
	assert_int_equal(r.len, RECORD_HEAD + 15 + RECORD_TAG);
	assert_int_equal(record_get(r.bytes, r.len, &seal, "claim", "id", 2, &when, text), 0);
	assert_int_equal(when, 1700000000123);
	assert_string_equal(text, "n1=10.0.0.1:445");
	/* Of another name, for another purpose, by another cluster. */
	assert_int_equal(record_get(r.bytes, r.len, &seal, "claim", "ie", 2, &when, text), -1);
	assert_int_equal(record_get(r.bytes, r.len, &seal, "claim", "id", 1, &when, text), -1);
	assert_int_equal(record_get(r.bytes, r.len, &seal, "stand", "id", 2, &when, text), -1);
	assert_int_equal(record_get(r.bytes, r.len, &other_seal, "claim", "id", 2, &when,
	    text), -1);
	for (size_t i = 0; i < r.len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(bytes, r.bytes, r.len);
			bytes[i] = (char)(bytes[i] ^ (1 << bit));
			assert_int_equal(record_get(bytes, r.len, &seal, "claim", "id", 2, &when,
			    text), -1);
		}
	}
	for (size_t n = 0; n < r.len; n++)
		assert_int_equal(record_get(r.bytes, n, &seal, "claim", "id", 2, &when, text), -1);
	assert_int_equal(record_get(bytes, RECORD_MAX, &seal, "claim", "id", 2, &when, text), -1);
	assert_int_equal(record_get(bytes, SIZE_MAX, &seal, "claim", "id", 2, &when, text), -1);
}

static void
test_record_limits(void **state)
{
	char longest[STATE_NODE_LEN + 1], text[STATE_NODE_LEN];
	struct record r;
	uint64_t when;

	(void)state;
	memset(longest, 'n', sizeof(longest));
	longest[STATE_NODE_LEN - 1] = '\0';
	record_make(&r, &seal, "claim", "id", 2, UINT64_MAX, longest);
	assert_int_equal(record_get(r.bytes, r.len, &seal, "claim", "id", 2, &when, text), 0);
	assert_string_equal(text, longest);
	assert_int_equal(when, 999999999999999);
	longest[STATE_NODE_LEN - 1] = 'n';
	longest[STATE_NODE_LEN] = '\0';
	record_make(&r, &seal, "claim", "id", 2, 1, longest);
	assert_int_equal(r.len, 0);
	record_make(&r, &seal, "claim", "id", 2, 1, "");
	assert_int_equal(r.len, 0);
}

static void
test_hex(void **state)
{
	const uint8_t id[4] = { 0x00, 0x9a, 0xff, 0x42 };
	uint8_t back[4];
	char hex[9];

	(void)state;
	record_hex(id, 4, hex);
	assert_string_equal(hex, "009aff42");
	assert_int_equal(record_unhex(back, 4, hex), 0);
	assert_memory_equal(back, id, 4);
	assert_int_equal(record_unhex(back, 4, "009AFF42"), -1);
	assert_int_equal(record_unhex(back, 4, "009aff4"), -1);
	assert_int_equal(record_unhex(back, 4, "009af\0\0\0"), -1);
}

static void
test_exceptions(void **state)
{
	const uint8_t a[NAMES_ID_LEN] = { 1 }, b[NAMES_ID_LEN] = { 2 };
	struct exceptions *m = exceptions_new();
	struct record r;
	static char big[RECORD_MAX + 1];

	(void)state;
	assert_int_equal(exceptions_put(m, a, "one", 3), 0);
	assert_int_equal(exceptions_put(m, b, "two", 3), 0);
	assert_int_equal(exceptions_put(m, a, "three", 5), 0);
	assert_int_equal(exceptions_put(m, b, big, sizeof(big)), -1);
	assert_int_equal(exceptions_count(m), 2);
	assert_true(exceptions_get(m, a, &r));
	assert_int_equal(r.len, 5);
	exceptions_drop(m, b);
	assert_false(exceptions_get(m, b, &r));
	/* Not seen once is no reason: Redis may have lost it, and its owner soon says it again. */
	exceptions_swept(m);
	exceptions_swept(m);
	assert_true(exceptions_get(m, a, &r));
	assert_int_equal(exceptions_put(m, a, "three", 5), 0);
	exceptions_swept(m);
	exceptions_swept(m);
	assert_true(exceptions_get(m, a, &r));
	exceptions_swept(m);
	assert_false(exceptions_get(m, a, &r));
	exceptions_free(&m);
	assert_null(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_record_limits),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_exceptions),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
