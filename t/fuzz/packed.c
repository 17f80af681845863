/* packed.c: compressed messages of made-up conversations; no code of inspect/ or smb/ */
#include "config.h"

#include "t/fuzz/packed.h"

#include "t/fuzz/reader.h"

#include <string.h>

#define LZ77 2
#define PATTERN 4
#define TAIL_MAX 2048

static void
put32(uint8_t *p, size_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* LZ77: literally, but that what was the same byte before is the same again. */
static size_t
squeeze(const uint8_t *in, size_t n, uint8_t *out)
{
	size_t at = 0, o = 0, flags = 0, run;
	unsigned item = 0;

	for (; at < n; item++) {
		if (item % 32 == 0) {
			flags = o;
			put32(out + o, 0);
			o += 4;
		}
		run = 0;
		while (at > 0 && at + run < n && run < 9 && in[at + run] == in[at - 1])
			run++;
		if (run < 3) {
			out[o++] = in[at++];
			continue;
		}
		put32(out + flags, reader_u32(out + flags) | 1u << (31 - item % 32));
		out[o++] = (uint8_t)(run - 3);
		out[o++] = 0;
		at += run;
	}
	return o;
}

size_t
packed_put(uint8_t *p, size_t len, size_t tail, bool chained)
{
	static uint8_t out[TAIL_MAX + TAIL_MAX / 8 + 64];
	size_t front, zeros = 0, n, at;

	if (tail > TAIL_MAX)
		tail = TAIL_MAX;
	front = len - tail;
	while (chained && zeros < tail && p[len - zeros - 1] == 0)
		zeros++;
	n = squeeze(p + front, tail - zeros, out);
	memmove(p + 16, p, front);
	at = 16 + front;
	memcpy(p, "\xfcSMB", 4);
	put32(p + 4, chained ? len : tail);
	if (!chained) {
		put32(p + 8, LZ77);
		put32(p + 12, front);
		memcpy(p + at, out, n);
		return at + n;
	}
	put32(p + 8, 0x10000);
	put32(p + 12, front);
	put32(p + at, LZ77);
	put32(p + at + 4, n + 4);
	put32(p + at + 8, tail - zeros);
	memcpy(p + at + 12, out, n);
	at += 12 + n;
	if (zeros == 0)
		return at;
	put32(p + at, PATTERN);
	put32(p + at + 4, 8);
	put32(p + at + 8, 0);
	put32(p + at + 12, zeros);
	return at + 16;
}

/* The length that goes on behind the first three bits; -1: the input ends. */
static long
long_length(const uint8_t *in, size_t n, size_t *at, size_t *shared)
{
	long v;

	if (*shared != 0) {
		v = in[*shared] >> 4;
		*shared = 0;
	} else {
		if (*at >= n)
			return -1;
		*shared = *at;
		v = in[(*at)++] & 15;
	}
	if (v < 15)
		return v + 7;
	if (*at >= n)
		return -1;
	v = in[(*at)++];
	if (v < 255)
		return v + 22;
	if (n - *at < 2)
		return -1;
	v = reader_u16(in + *at);
	*at += 2;
	if (v == 0) {
		if (n - *at < 4)
			return -1;
		v = (long)reader_u32(in + *at);
		*at += 4;
	}
	return v < 22 ? -1 : v;
}

static bool
expand(const uint8_t *in, size_t n, uint8_t *out, size_t len)
{
	size_t at = 0, o = 0, shared = 0;
	uint32_t flags = 0;

	for (unsigned item = 0; o < len; item++) {
		size_t back;
		long run;

		if (item % 32 == 0) {
			if (n - at < 4)
				return false;
			flags = reader_u32(in + at);
			at += 4;
		}
		if ((flags & 1u << (31 - item % 32)) == 0) {
			if (at >= n)
				return false;
			out[o++] = in[at++];
			continue;
		}
		if (n - at < 2)
			return false;
		run = in[at] & 7;
		back = ((size_t)reader_u16(in + at) >> 3) + 1;
		at += 2;
		if (run == 7)
			run = long_length(in, n, &at, &shared);
		if (run < 0 || back > o)
			return false;
		for (run += 3; run > 0 && o < len; run--, o++)
			out[o] = out[o - back];
	}
	return true;
}

static long
chain(const uint8_t *p, size_t n, uint8_t *out, size_t len)
{
	size_t at = 8, o = 0;

	while (o < len) {
		size_t size, whole;
		uint16_t algorithm;

		if (n - at < 8)
			return -1;
		algorithm = reader_u16(p + at);
		size = reader_u32(p + at + 4);
		at += 8;
		if (size > n - at || (algorithm != 0 && size < (algorithm == PATTERN ? 8 : 4)))
			return -1;
		whole = algorithm == 0 ? size : reader_u32(p + at + (algorithm == PATTERN ? 4 : 0));
		if (whole > len - o)
			return -1;
		if (algorithm == 0)
			memcpy(out + o, p + at, whole);
		else if (algorithm == PATTERN)
			memset(out + o, p[at], whole);
		else if (algorithm != LZ77 || !expand(p + at + 4, size - 4, out + o, whole))
			return -1;
		at += size;
		o += whole;
	}
	return (long)o;
}

long
packed_get(bool chained, const uint8_t *p, size_t n, uint8_t *out, size_t cap)
{
	size_t size, offset;
	uint16_t flags;

	if (n < 16 || memcmp(p, "\xfcSMB", 4) != 0)
		return -1;
	size = reader_u32(p + 4);
	flags = reader_u16(p + 10);
	offset = reader_u32(p + 12);
	if (flags > chained || size > cap)
		return -1;
	if (flags == 1)
		return chain(p, n, out, size);
	if (reader_u16(p + 8) != LZ77 || offset > n - 16 || offset > cap - size)
		return -1;
	memcpy(out, p + 16, offset);
	return expand(p + 16 + offset, n - 16 - offset, out + offset, size)
	    ? (long)(offset + size)
	    : -1;
}
