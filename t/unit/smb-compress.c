/* smb-compress.c: unit tests of compressed messages: the examples of their formats, hostile ones */
#include "config.h"

#include "base/wr.h"
#include "smb/compress.h"
#include "smb/const.h"
#include "smb/lz.h"
#include "t/unit/lib/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz";
static const char tune[] = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E "
                           "E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D";

/* The examples of [MS-XCA] 3, and of LZ4's format. */
static const struct example {
	uint16_t algorithm;
	const char *text;
	unsigned times;		/* the text, so often */
	size_t more;		/* and so much of the array behind it */
	size_t n;
	uint8_t in[112];
} examples[] = {
	{ SMB2_COMPRESSION_LZ77, alphabet, 1, 0, 30,
	    { 0x3f, 0, 0, 0, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n',
	        'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z' } },
	{ SMB2_COMPRESSION_LZ77, "abc", 100, 0, 13,
	    { 0xff, 0xff, 0xff, 0x1f, 0x61, 0x62, 0x63, 0x17, 0x00, 0x0f, 0xff, 0x26, 0x01 } },
	/* Two lengths that share a byte: 7 and 9 besides their 7. */
	{ SMB2_COMPRESSION_LZ77, "a", 37, 0, 10,
	    { 0, 0, 0, 0x60, 'a', 0x07, 0x00, 0x97, 0x07, 0x00 } },
	{ SMB2_COMPRESSION_LZNT1, tune, 1, 1, 59,
	    { 0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2,
	        0x47, 0x01, 0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0,
	        0x45, 0x20, 0x05, 0x24, 0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58,
	        0x02, 0x8c, 0x09, 0x16, 0x01, 0x48, 0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01,
	        0x18, 0x90, 0x00 } },
	/* A chunk that is not compressed. */
	{ SMB2_COMPRESSION_LZNT1, "abc", 1, 0, 5, { 0x02, 0x30, 'a', 'b', 'c' } },
	{ SMB2_COMPRESSION_LZ4, "abc", 100, 0, 13,
	    { 0x3f, 'a', 'b', 'c', 3, 0, 0xff, 18, 0x50, 'b', 'c', 'a', 'b' } },
};

/* What an example stands for. */
static size_t
expected(const struct example *e, uint8_t *out)
{
	size_t n = 0, len = strlen(e->text) + e->more;

	if (e->algorithm == SMB2_COMPRESSION_LZ4) {
		/* 3 + 292, and the last five bytes, which are always as they are. */
		for (; n < 295; n++)
			out[n] = (uint8_t)e->text[n % 3];
		memcpy(out + n, "bcab", 4);
		out[n + 4] = 'c';
		return n + 5;
	}
	for (unsigned i = 0; i < e->times; i++, n += len)
		memcpy(out + n, e->text, len);
	return n;
}

static size_t
run(uint16_t algorithm, const uint8_t *in, size_t n, uint8_t *out, size_t max)
{
	switch (algorithm) {
	case SMB2_COMPRESSION_LZNT1:
		return lz_nt1(in, n, out, max);
	case SMB2_COMPRESSION_LZ77:
		return lz_77(in, n, out, max);
	case SMB2_COMPRESSION_LZ77_HUFFMAN:
		return lz_77_huffman(in, n, out, max);
	default:
		return lz_4(in, n, out, max);
	}
}

/* Cut anywhere, and asked for less, it is the beginning of the same. */
static void
check(uint16_t algorithm, const uint8_t *in, size_t n, const uint8_t *want, size_t len)
{
	for (size_t cut = 0; cut <= n; cut++) {
		uint8_t *copy = exact(in, cut), *out = exact(want, len);
		size_t got;

		memset(out, 0xa5, len);
		got = run(algorithm, copy, cut, out, len);
		if (cut == n)
			assert_int_equal(got, len);
		assert_true(got <= len);
		assert_memory_equal(out, want, got);
		free(out);
		free(copy);
	}
	for (size_t max = 0; max <= len; max += 1 + max / 8) {
		uint8_t *out = exact(want, max);

		memset(out, 0xa5, max);
		assert_int_equal(run(algorithm, in, n, out, max), max);
		assert_memory_equal(out, want, max);
		free(out);
	}
}

static void
test_examples(void **state)
{
	uint8_t want[512];

	(void)state;
	for (size_t i = 0; i < COUNT(examples); i++) {
		struct example e = examples[i];

		if (e.algorithm == SMB2_COMPRESSION_LZ4)
			e.in[e.n++] = 'c';
		check(e.algorithm, e.in, e.n, want, expected(&e, want));
	}
}

/* [MS-XCA] 3.2: the alphabet, whose codes are 4 and 5 bits long, and 100 times "abc". */
static void
test_huffman(void **state)
{
	static const uint8_t lengths[] = { 0x50, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55,
		0x55, 0x55, 0x45, 0x44, 0x04 };
	static const uint8_t bits[] = { 0xd8, 0x52, 0x3e, 0xd7, 0x94, 0x11, 0x5b, 0xe9, 0x19, 0x5f,
		0xf9, 0xd6, 0x7c, 0xdf, 0x8d, 0x04, 0, 0, 0, 0 };
	static const uint8_t abc_bits[] = { 0xa8, 0xdc, 0x00, 0x00, 0xff, 0x26, 0x01 };
	uint8_t in[256 + sizeof(bits)] = { 0 }, abc[256 + sizeof(abc_bits)] = { 0 }, want[300];

	(void)state;
	memcpy(in + 48, lengths, sizeof(lengths));
	in[128] = 0x04;
	memcpy(in + 256, bits, sizeof(bits));
	check(SMB2_COMPRESSION_LZ77_HUFFMAN, in, sizeof(in), (const uint8_t *)alphabet, 26);
	abc[48] = 0x30;
	abc[49] = 0x23;
	abc[128] = 0x02;
	abc[128 + 15] = 0x20;
	memcpy(abc + 256, abc_bits, sizeof(abc_bits));
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)('a' + i % 3);
	check(SMB2_COMPRESSION_LZ77_HUFFMAN, abc, sizeof(abc), want, sizeof(want));
	/* Lengths that are those of no code: too many, and too few. */
	in[49] = 0x11;
	assert_int_equal(lz_77_huffman(in, sizeof(in), want, 26), 0);
	in[49] = 0;
	assert_int_equal(lz_77_huffman(in, sizeof(in), want, 26), 0);
}

/* Whatever comes: no byte outside, and nothing that was not written is referred to. */
static void
test_hostile(void **state)
{
	static const uint16_t algorithms[] = { SMB2_COMPRESSION_LZNT1, SMB2_COMPRESSION_LZ77,
		SMB2_COMPRESSION_LZ77_HUFFMAN, SMB2_COMPRESSION_LZ4 };
	uint32_t x = 1;

	(void)state;
	for (unsigned i = 0; i < 40000; i++) {
		const size_t n = i % 400, max = i % 777;
		uint8_t *in = malloc(n == 0 ? 1 : n), *out = malloc(max == 0 ? 1 : max);

		assert_true(in != NULL && out != NULL);
		for (size_t k = 0; k < n; k++) {
			x = x * 1664525 + 1013904223;
			in[k] = (uint8_t)(x >> 24);
			/* Codes of 9 bits for all, so that there is something to decode. */
			if (i % 3 == 0 && k < 256)
				in[k] = 0x99;
		}
		assert_true(run(algorithms[i & 3], in, n, out, max) <= max);
		free(in);
		free(out);
	}
}

/* A message as whole as it can be, and its head alone. */
static void
expect_open(bool chained, const struct wr *w, size_t len, const char *want)
{
	const size_t n = wr_len(w);
	uint8_t out[256], *p = n == 0 ? NULL : exact(w->base, n);

	assert_int_equal(compress_len(chained, p, n), len);
	memset(out, 0xa5, sizeof(out));
	assert_int_equal(compress_open(chained, p, n, out, sizeof(out)), strlen(want));
	assert_memory_equal(out, want, strlen(want));
	for (size_t cut = 1; cut < n; cut++) {
		uint8_t *q = exact(p, cut);

		assert_true(compress_open(chained, q, cut, out, sizeof(out)) <= strlen(want));
		free(q);
	}
	free(p);
}

static void
transform(struct wr *w, uint32_t size, uint16_t algorithm, uint16_t flags, uint32_t offset)
{
	wr_u32(w, SMB2_COMPRESSION_ID);
	wr_u32(w, size);
	wr_u16(w, algorithm);
	wr_u16(w, flags);
	wr_u32(w, offset);
}

static void
test_unchained(void **state)
{
	uint8_t b[256] = { 0 };
	struct wr w = wr_init(b, sizeof(b));

	(void)state;
	transform(&w, 3, SMB2_COMPRESSION_LZNT1, 0, 4);
	wr_bytes(&w, "wxyz\2\x30" "abc", 9);
	expect_open(false, &w, 7, "wxyzabc");
	expect_open(true, &w, 7, "wxyzabc");
	/* Nothing of it is compressed. */
	w = wr_init(b, sizeof(b));
	transform(&w, 0, SMB2_COMPRESSION_LZ77, 0, 4);
	wr_bytes(&w, "wxyz", 4);
	expect_open(false, &w, 4, "wxyz");
	/* More is promised than there is; an algorithm that is for chains alone, or none. */
	w = wr_init(b, sizeof(b));
	transform(&w, 30, SMB2_COMPRESSION_LZNT1, 0, 4);
	wr_bytes(&w, "wxyz\2\x30" "abc", 9);
	expect_open(false, &w, 34, "wxyzabc");
	/* A match that goes further back than there is anything: all that stands before it. */
	w = wr_init(b, sizeof(b));
	transform(&w, 5, SMB2_COMPRESSION_LZNT1, 0, 2);
	wr_bytes(&w, "wx\4\xb0\4" "ab\xff\xff", 9);
	expect_open(false, &w, 7, "wxab");
	for (uint16_t i = 0; i < 9; i++) {
		if (i != SMB2_COMPRESSION_NONE && i != SMB2_COMPRESSION_PATTERN_V1 && i < 6)
			continue;
		w = wr_init(b, sizeof(b));
		transform(&w, 8, i, 0, 2);
		wr_bytes(&w, "wxa\0\0\0\x08\0\0\0", 10);
		expect_open(false, &w, 10, "wx");
	}
	w = wr_init(b, sizeof(b));
	transform(&w, 3, SMB2_COMPRESSION_LZNT1, 2, 4);
	wr_bytes(&w, "wxyz\2\x30" "abc", 9);
	expect_open(true, &w, 0, "");
}

static void
payload(struct wr *w, uint16_t algorithm, uint16_t flags, const void *p, size_t n)
{
	wr_u16(w, algorithm);
	wr_u16(w, flags);
	wr_u32(w, (uint32_t)n);
	wr_bytes(w, p, n);
}

static void
test_chained(void **state)
{
	uint8_t b[256] = { 0 };
	struct wr w = wr_init(b, sizeof(b));

	(void)state;
	wr_u32(&w, SMB2_COMPRESSION_ID);
	wr_u32(&w, 11);
	payload(&w, SMB2_COMPRESSION_NONE, 1, "wx", 2);
	payload(&w, SMB2_COMPRESSION_NONE, 0, "", 0);
	payload(&w, SMB2_COMPRESSION_LZNT1, 0, "\3\0\0\0\2\x30" "abc", 9);
	payload(&w, SMB2_COMPRESSION_PATTERN_V1, 0, "z\0\0\0\6\0\0\0", 8);
	expect_open(true, &w, 11, "wxabczzzzzz");
	/* Where chains were not agreed on it is read otherwise, or not at all. */
	expect_open(false, &w, 0, "");
	/* A payload that is shorter than it says: what follows has no place. */
	w.base[8 + 10 + 8 + 8] = 4;
	expect_open(true, &w, 11, "wxabc");
	/* One that has no room for its own length. */
	w = wr_init(b, sizeof(b));
	wr_u32(&w, SMB2_COMPRESSION_ID);
	wr_u32(&w, 8);
	payload(&w, SMB2_COMPRESSION_LZ77, 1, "\3\0\0", 3);
	wr_zero(&w, 8);
	(void)compress_open(true, w.base, wr_len(&w), b + 128, 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_huffman),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_unchained),
		cmocka_unit_test(test_chained),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
