/* base-tlv.c: records of typed values: what is written is read; what does not fit is refused */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/tlv.h"

static void
every_kind_comes_back(void **state)
{
	static const uint64_t values[] = { 0, 1, 255, 256, 65535, 65536, UINT32_MAX,
		(uint64_t)UINT32_MAX + 1, UINT64_MAX };
	static const size_t sizes[] = { 1, 1, 1, 2, 2, 4, 4, 8, 8 };
	struct tlv_out o = { 0 };
	struct tlv_in in, sub;
	char text[8], bytes[3];
	size_t at;

	(void)state;
	for (size_t i = 0; i < 9; i++)
		tlv_put_uint(&o, (uint16_t)i, values[i]);
	tlv_put_text(&o, 20, "a text!");
	tlv_put_text(&o, 21, NULL);
	at = tlv_begin(&o, 22);
	tlv_put(&o, 1, "abc", 3);
	tlv_put(&o, 2, NULL, 0);
	tlv_end(&o, at);
	tlv_put_uint(&o, 0x7fff, 9);
	assert_false(o.bad);

	in = tlv_in(o.data, o.len);
	for (size_t i = 0; i < 9; i++) {
		assert_true(tlv_next(&in));
		assert_int_equal(in.type, i);
		assert_int_equal(in.n, sizes[i]);
		assert_true(tlv_uint(&in, UINT64_MAX) == values[i]);
	}
	assert_true(tlv_next(&in));
	tlv_text(&in, text, sizeof(text));
	assert_string_equal(text, "a text!");
	assert_true(tlv_next(&in));
	assert_int_equal(in.type, 22);
	sub = tlv_sub(&in);
	assert_true(tlv_next(&sub));
	tlv_copy(&sub, bytes, 3);
	assert_memory_equal(bytes, "abc", 3);
	assert_true(tlv_next(&sub));
	assert_int_equal(sub.n, 0);
	assert_false(tlv_next(&sub) || sub.bad);
	assert_true(tlv_next(&in));
	assert_int_equal(in.type, 0x7fff);
	assert_false(tlv_next(&in) || in.bad);
	tlv_out_fini(&o);
	assert_null(o.data);
}

/* Every prefix of a record is refused, or ends where a value does. */
static void
what_is_cut_is_refused(void **state)
{
	struct tlv_out o = { 0 };

	(void)state;
	tlv_put(&o, 1, "12345", 5);
	tlv_put(&o, 2, "678", 3);
	for (size_t n = 0; n <= o.len; n++) {
		uint8_t *copy = malloc(n + 1);
		struct tlv_in in;

		assert_non_null(copy);
		memcpy(copy, o.data, n);
		in = tlv_in(copy, n);
		while (tlv_next(&in))
			;
		assert_int_equal(in.bad, n != 0 && n != 11 && n != 20);
		free(copy);
	}
	tlv_out_fini(&o);
}

static void
a_lying_length_is_refused(void **state)
{
	static const uint8_t lie[] = { 1, 0, 0xff, 0xff, 0xff, 0xff, 7, 7 };
	struct tlv_in in = tlv_in(lie, sizeof(lie));

	(void)state;
	assert_false(tlv_next(&in));
	assert_true(in.bad);
	assert_false(tlv_next(&in));
}

/* Each wrong use makes it bad, and it stays so. */
static void
errors_stick(void **state)
{
	struct tlv_out o = { 0 };
	uint8_t few[4] = { 9, 9, 9, 9 };
	char text[5];

	(void)state;
	tlv_put(&o, 1, "abcde", 5);
	tlv_put_uint(&o, 2, 7);
	for (int kind = 0; kind < 6; kind++) {
		struct tlv_in in = tlv_in(o.data, o.len);

		assert_true(tlv_next(&in));
		if (kind == 0)
			assert_int_equal(tlv_uint(&in, UINT64_MAX), 0);
		if (kind == 1)
			tlv_copy(&in, few, sizeof(few));
		if (kind == 2)
			tlv_text(&in, text, sizeof(text));
		if (kind == 3)
			tlv_unknown(&in);
		if (kind == 4) {
			assert_true(tlv_next(&in));
			assert_int_equal(tlv_uint(&in, 6), 0);
		}
		if (kind == 5) {
			in.type |= TLV_OPTIONAL;
			tlv_unknown(&in);
		}
		assert_int_equal(in.bad, kind != 5);
		assert_int_equal(tlv_next(&in), kind == 5);
		if (kind != 5)
			assert_true(tlv_sub(&in).bad);
	}
	assert_memory_equal(few, "\0\0\0\0", 4);
	assert_string_equal(text, "");
	tlv_out_fini(&o);

	tlv_put(&o, 1, "a\0b", 3);
	{
		struct tlv_in in = tlv_in(o.data, o.len);

		assert_true(tlv_next(&in));
		tlv_text(&in, text, sizeof(text));
		assert_true(in.bad);
	}
	tlv_out_fini(&o);
}

static void
it_grows(void **state)
{
	struct tlv_out o = { 0 };
	static uint8_t big[70000];
	struct tlv_in in;
	size_t at = tlv_begin(&o, 5), n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	for (int i = 0; i < 3; i++)
		tlv_put(&o, 1, big, sizeof(big));
	tlv_end(&o, at);
	assert_false(o.bad);
	in = tlv_in(o.data, o.len);
	assert_true(tlv_next(&in));
	in = tlv_sub(&in);
	while (tlv_next(&in)) {
		assert_int_equal(in.n, sizeof(big));
		assert_memory_equal(in.value, big, sizeof(big));
		n++;
	}
	assert_int_equal(n, 3);
	assert_false(in.bad);
	tlv_out_fini(&o);
}

/* What comes in parts: as much of it as is whole, wherever it is cut. */
static void
parts(void **state)
{
	struct tlv_out o = { .len = 0 };

	(void)state;
	tlv_put(&o, 1, "", 0);
	tlv_put(&o, 2, "abc", 3);
	tlv_put_uint(&o, 3, 5);
	for (size_t n = 0; n <= o.len; n++) {
		uint8_t *cut = malloc(n == 0 ? 1 : n);

		assert_non_null(cut);
		memcpy(cut, o.data, n);
		assert_int_equal(tlv_whole(cut, n), n < 6 ? 0 : n < 15 ? 6 : n < 22 ? 15 : 22);
		free(cut);
	}
	memset(o.data + 2, 0xff, 4);
	assert_int_equal(tlv_whole(o.data, o.len), 0);
	tlv_out_fini(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts),
		cmocka_unit_test(every_kind_comes_back),
		cmocka_unit_test(what_is_cut_is_refused),
		cmocka_unit_test(a_lying_length_is_refused),
		cmocka_unit_test(errors_stick),
		cmocka_unit_test(it_grows),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
