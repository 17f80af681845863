/* fuzz-compress.c: libFuzzer target: compressed messages, against a second reader of them */
/* for: smb/compress.c smb/lz.c */
#include "config.h"

#include "smb/compress.h"
#include "smb/lz.h"
#include "t/fuzz/packed.h"
#include "t/unit/lib/holds.h"

#include <stdlib.h>
#include <string.h>

#define ROOM 70000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Half of it is the beginning of all of it, in memory of just that size. */
static void
fuzz_half(size_t (*lz)(const uint8_t *in, size_t n, uint8_t *out, size_t max), const uint8_t *p,
    size_t n, uint8_t *all)
{
	size_t got = lz(p, n, all, ROOM), half = got / 2;
	uint8_t *out = malloc(half);

	HOLDS(got <= ROOM && (out != NULL || half == 0));
	HOLDS(lz(p, n, out, half) == half);
	HOLDS(half == 0 || memcmp(out, all, half) == 0);
	free(out);
}

/* What the other reads wholly is read the same here. */
static void
fuzz_both(bool chained, const uint8_t *p, size_t n, uint8_t *out, uint8_t *other)
{
	long m = packed_get(chained, p, n, other, ROOM);
	size_t got = compress_open(chained, p, n, out, ROOM);

	HOLDS(got <= compress_len(chained, p, n));
	if (m >= 0 && (size_t)m == compress_len(chained, p, n))
		HOLDS(got == (size_t)m && memcmp(out, other, got) == 0);
}

/* The input as a message, compressed: it comes out again. */
static void
fuzz_round(const uint8_t *p, size_t n, uint8_t *out)
{
	size_t cap = n + n / 8 + PACKED_MORE, len;
	uint8_t *m = malloc(cap);

	HOLDS(m != NULL);
	for (int chained = 0; chained < 2; chained++) {
		memcpy(m, p, n);
		len = packed_put(m, n, p[0] * 8u % (n + 1), chained != 0);
		HOLDS(compress_len(true, m, len) == n);
		HOLDS(compress_open(true, m, len, out, ROOM) == n && memcmp(out, p, n) == 0);
	}
	free(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[ROOM], other[ROOM];

	fuzz_half(lz_nt1, data, size, out);
	fuzz_half(lz_77, data, size, out);
	fuzz_half(lz_77_huffman, data, size, out);
	fuzz_half(lz_4, data, size, out);
	fuzz_both(false, data, size, out, other);
	fuzz_both(true, data, size, out, other);
	if (size >= 64 && size <= 60000)
		fuzz_round(data, size, out);
	return 0;
}
