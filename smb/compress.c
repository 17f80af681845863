/* compress.c: messages that come compressed, [MS-SMB2] 2.2.42, and what is in them */
#include "config.h"

#include "smb/compress.h"

#include "base/rd.h"
#include "smb/const.h"
#include "smb/lz.h"

#include <string.h>

/*
 *	not chained   ProtocolId size algorithm 0 offset   offset bytes as they are   rest
 *	chained       ProtocolId size   algorithm 1 length payload   algorithm 0 length payload  ...
 *
 * A chained header is 8 bytes long, and Flags of the other stand where its first payload has them.
 */
struct transform {
	uint32_t size;		/* of what is in it, or of what is compressed of that */
	uint16_t algorithm;
	uint16_t flags;
	uint32_t offset;
};

static bool
transform_get(struct transform *t, const uint8_t *p, size_t n)
{
	struct rd r = rd_init(p, n);
	uint32_t protocol = rd_u32(&r);

	t->size = rd_u32(&r);
	t->algorithm = rd_u16(&r);
	t->flags = rd_u16(&r);
	t->offset = rd_u32(&r);
	return rd_ok(&r) && protocol == SMB2_COMPRESSION_ID;
}

/* One byte again and again, [MS-SMB2] 2.2.42.2.2. */
static size_t
open_pattern(const uint8_t *in, size_t n, uint8_t *out, size_t max)
{
	struct rd r = rd_init(in, n);
	const uint8_t v = rd_u8(&r);
	size_t times;

	rd_skip(&r, 3);
	times = rd_u32(&r);
	if (times > max)
		times = max;
	if (times > 0)
		memset(out, v, times);
	return times;
}

static size_t
open_by(uint16_t algorithm, const uint8_t *in, size_t n, uint8_t *out, size_t max)
{
	switch (algorithm) {
	case SMB2_COMPRESSION_LZNT1:
		return lz_nt1(in, n, out, max);
	case SMB2_COMPRESSION_LZ77:
		return lz_77(in, n, out, max);
	case SMB2_COMPRESSION_LZ77_HUFFMAN:
		return lz_77_huffman(in, n, out, max);
	case SMB2_COMPRESSION_LZ4:
		return lz_4(in, n, out, max);
	default:
		return 0;
	}
}

static size_t
open_none(const uint8_t *in, size_t n, uint8_t *out, size_t max)
{
	if (n > max)
		n = max;
	if (n > 0)
		memcpy(out, in, n);
	return n;
}

/* The payload behind its header; *whole: so long it is, wholly. */
static size_t
open_payload(struct rd *r, uint8_t *out, size_t max, size_t *whole)
{
	const uint16_t algorithm = rd_u16(r);
	size_t n;

	rd_skip(r, 2);
	n = rd_u32(r);
	*whole = n;
	if (algorithm == SMB2_COMPRESSION_PATTERN_V1 && rd_left(r) >= 8) {
		struct rd times = rd_sub(r, r->pos + 4, 4);

		*whole = rd_u32(&times);
	} else if (algorithm != SMB2_COMPRESSION_NONE) {
		*whole = rd_u32(r);
		n = n < 4 ? SIZE_MAX : n - 4;
	}
	if (n > rd_left(r))
		n = rd_left(r);
	if (max > *whole)
		max = *whole;
	switch (algorithm) {
	case SMB2_COMPRESSION_NONE:
		return open_none(rd_bytes(r, n), n, out, max);
	case SMB2_COMPRESSION_PATTERN_V1:
		return open_pattern(rd_bytes(r, n), n, out, max);
	default:
		return open_by(algorithm, rd_bytes(r, n), n, out, max);
	}
}

static size_t
open_chained(const uint8_t *p, size_t n, uint8_t *out, size_t max)
{
	struct rd r = rd_init(p, n);
	size_t got = 0, k, whole;

	rd_skip(&r, 8);
	while (got < max && rd_left(&r) >= 8) {
		k = open_payload(&r, out + got, max - got, &whole);
		got += k;
		if (k != whole)
			break;
	}
	return got;
}

size_t
compress_len(bool chained, const uint8_t *p, size_t n)
{
	struct transform t;

	if (!transform_get(&t, p, n) || t.flags > (chained ? 1 : 0))
		return 0;
	return t.flags != 0 ? t.size : (size_t)t.offset + t.size;
}

size_t
compress_open(bool chained, const uint8_t *p, size_t n, uint8_t *out, size_t max)
{
	const size_t len = compress_len(chained, p, n);
	struct transform t;
	size_t clear;

	if (len == 0 || !transform_get(&t, p, n))
		return 0;
	if (max > len)
		max = len;
	if (t.flags != 0)
		return open_chained(p, n, out, max);
	p += COMPRESS_MIN_LEN;
	n -= COMPRESS_MIN_LEN;
	clear = t.offset < n ? t.offset : n;
	if (clear >= max)
		return open_none(p, clear, out, max);
	(void)open_none(p, clear, out, clear);
	if (clear < t.offset)
		return clear;
	return clear + open_by(t.algorithm, p + clear, n - clear, out + clear, max - clear);
}
