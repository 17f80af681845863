/* auth-der.c: unit tests of DER: lengths, tags, numbers */
#include "config.h"

#include "auth/der.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* An OCTET STRING of n bytes, of which so many are there, with these length octets. */
struct der_case {
	uint8_t head[8];
	size_t head_len, there;
	bool head_good, good;
	size_t n;
};

static void
der_lengths(void **state)
{
	static const struct der_case cases[] = {
		{ { 0 }, 1, 0, true, true, 0 },
		{ { 1 }, 1, 1, true, true, 1 },
		{ { 0x7f }, 1, 0x7f, true, true, 0x7f },
		/* One to four octets behind the first. */
		{ { 0x81, 0x80 }, 2, 0x80, true, true, 0x80 },
		{ { 0x82, 0x01, 0x00 }, 3, 0x100, true, true, 0x100 },
		{ { 0x83, 0x01, 0x00, 0x00 }, 4, 0x10000, true, true, 0x10000 },
		{ { 0x84, 0x00, 0x01, 0x00, 0x01 }, 5, 0x10001, true, true, 0x10001 },
		/* More of them than needed. */
		{ { 0x81, 0x05 }, 2, 5, true, true, 5 },
		{ { 0x82, 0x00, 0x00 }, 3, 0, true, true, 0 },
		{ { 0x84, 0x00, 0x00, 0x00, 0x7f }, 5, 0x7f, true, true, 0x7f },
		/* Five and more; the indefinite form. */
		{ { 0x85, 0x00, 0x00, 0x00, 0x00, 0x01 }, 6, 1, false, false, 0 },
		{ { 0xff, 0x00, 0x00, 0x00, 0x00, 0x01 }, 6, 1, false, false, 0 },
		{ { 0x80 }, 1, 2, false, false, 0 },
		/* Cut: in the length octets, in the contents. */
		{ { 0 }, 0, 0, false, false, 0 },
		{ { 0x81 }, 1, 0, false, false, 0 },
		{ { 0x84, 0x00, 0x00, 0x00 }, 4, 0, false, false, 0 },
		{ { 2 }, 1, 1, true, false, 2 },
		{ { 0x82, 0x01, 0x00 }, 3, 0xff, true, false, 0x100 },
		/* Huge. */
		{ { 0x84, 0x7f, 0xff, 0xff, 0xff }, 5, 9, true, false, 0x7fffffff },
		{ { 0x84, 0xff, 0xff, 0xff, 0xff }, 5, 9, true, false, 0xffffffff },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct der_case *c = &cases[i];
		size_t len = 1 + c->head_len + c->there;
		uint8_t *block = calloc(1, len), tag = 0;
		struct rd r = rd_init(block, len), in;

		assert_non_null(block);
		block[0] = DER_OCTETS;
		memcpy(block + 1, c->head, c->head_len);
		assert_int_equal(der_head(&r, &tag), c->n);
		assert_int_equal(rd_ok(&r), c->head_good);
		assert_int_equal(tag, DER_OCTETS);
		r = rd_init(block, len);
		in = der_next(&r, &tag);
		assert_int_equal(rd_ok(&r), c->good);
		assert_int_equal(rd_ok(&in), c->good);
		assert_int_equal(rd_left(&in), c->good ? c->n : 0);
		assert_int_equal(rd_left(&r), c->good ? c->there - c->n : 0);
		if (c->good)
			assert_ptr_equal(in.base, block + 1 + c->head_len);
		free(block);
	}
}

static void
der_tags(void **state)
{
	static const uint8_t two[] = { DER_OID, 1, 7, DER_SEQUENCE, 2, 8, 9 };
	struct rd r = rd_init(two, sizeof(two)), in;

	(void)state;
	assert_true(der_is(&r, DER_OID));
	assert_false(der_is(&r, DER_SEQUENCE));
	in = der_of(&r, DER_OID);
	assert_int_equal(rd_u8(&in), 7);
	assert_true(der_is(&r, DER_SEQUENCE));
	in = der_of(&r, DER_SEQUENCE);
	assert_int_equal(rd_left(&in), 2);
	assert_true(rd_ok(&r));
	/* At the end there is nothing, of any tag. */
	assert_false(der_is(&r, 0));
	in = der_of(&r, 0);
	assert_false(rd_ok(&in));
	assert_false(rd_ok(&r));

	/* Another tag: nothing can be taken out of either any more. */
	r = rd_init(two, sizeof(two));
	in = der_of(&r, DER_SEQUENCE);
	assert_false(rd_ok(&in));
	assert_null(rd_bytes(&in, 1));
	assert_false(rd_ok(&r));
	assert_false(der_is(&r, DER_SEQUENCE));
}

static void
der_numbers(void **state)
{
	static const struct {
		uint8_t b[12];
		size_t n;
		bool good;
		uint32_t v;
	} cases[] = {
		{ { 0xa1, 3, DER_INTEGER, 1, 5 }, 5, true, 5 },
		{ { 0xa1, 4, DER_INTEGER, 2, 1, 0 }, 6, true, 256 },
		{ { 0xa1, 7, DER_INTEGER, 5, 0, 0xff, 0xff, 0xff, 0xff }, 9, true, 0xffffffff },
		{ { 0xa1, 3, DER_INTEGER, 1, 0xff }, 5, true, 0xff },
		{ { 0xa1, 8, DER_INTEGER, 6, 0, 0, 0, 0, 0, 1 }, 10, false, 0 },
		{ { 0xa2, 3, DER_INTEGER, 1, 5 }, 5, false, 0 },
		{ { 0xa1, 3, DER_OCTETS, 1, 5 }, 5, false, 0 },
		{ { 0xa1, 3, DER_INTEGER, 2, 5 }, 5, false, 0 },
		{ { 0xa1, 4, DER_INTEGER, 2, 5 }, 5, false, 0 },
		{ { 0xa1, 0 }, 2, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct rd r = rd_init(cases[i].b, cases[i].n);
		uint32_t v = der_u32(&r, DER_CONTEXT(1));

		assert_int_equal(rd_ok(&r), cases[i].good);
		if (cases[i].good)
			assert_true(v == cases[i].v);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(der_lengths),
		cmocka_unit_test(der_tags),
		cmocka_unit_test(der_numbers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
