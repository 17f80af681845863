/* fuzz-heads.c: libFuzzer target: a capture's headers, whatever the stream is cut into */
/* for: proxy/tap_heads.c base/tapmsg.c */
#include "config.h"

#include "base/tapmsg.h"
#include "proxy/tap_heads.h"
#include "t/fuzz/reader.h"
#include "t/unit/lib/holds.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a stream in pieces of `step` bytes, or of any length (0), gives: lengths and headers. */
static size_t
cut(const uint8_t *p, size_t n, size_t step, uint8_t *out, size_t cap)
{
	struct tap_heads h = { .have = 0 };
	/* Pieces of a byte are many: they have one memory. */
	uint8_t *one = calloc(1, 1);
	size_t at = 0, o = 0;

	while (at < n) {
		size_t left = n - at, k = step == 0 ? 1 + p[at] % 97 : step;
		uint8_t *piece;

		k = k < left ? k : left;
		piece = k == 1 ? one : malloc(k);
		HOLDS(piece != NULL);
		memcpy(piece, p + at, k);
		for (size_t used = 0, got; used < k; used += got) {
			got = tap_heads_feed(&h, piece + used, k - used);
			HOLDS(got > 0 && got <= k - used);
			if (h.len == 0)
				continue;
			HOLDS(h.len <= h.whole && h.len <= TAP_HEADS_MAX && h.len >= 4);
			HOLDS(o + 8 + h.len <= cap);
			memcpy(out + o, &h.whole, 4);
			memcpy(out + o + 4, &h.len, 4);
			memcpy(out + o + 8, h.bytes, h.len);
			o += 8 + h.len;
		}
		if (k > 1)
			free(piece);
		at += k;
	}
	free(one);
	return o;
}

/* What a watcher takes for a record's header is what is sent again, but for reserved bytes. */
static void
fuzz_record(const uint8_t *p, size_t n)
{
	uint8_t out[TAPMSG_HDR_LEN], ends[TAPMSG_ENDS_LEN];
	struct tapmsg m, again;
	struct tapmsg_ends e;

	if (n < TAPMSG_HDR_LEN || tapmsg_get(&m, p) == -1)
		return;
	HOLDS(m.len <= TAPMSG_DATA_MAX);
	tapmsg_put(out, &m);
	HOLDS(tapmsg_get(&again, out) == 0 && again.len == m.len && again.conn == m.conn);
	HOLDS(memcmp(out, p, 7) == 0 && memcmp(out + 8, p + 8, 28) == 0);
	if (m.kind != TAPMSG_OPEN || n < TAPMSG_HDR_LEN + TAPMSG_ENDS_LEN)
		return;
	tapmsg_ends_get(&e, p + TAPMSG_HDR_LEN);
	tapmsg_ends_put(ends, &e);
	HOLDS(memcmp(ends, p + TAPMSG_HDR_LEN, TAPMSG_ENDS_LEN) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cap = 16 + 3 * size + 4096, n;
	uint8_t *whole = malloc(cap), *pieces = malloc(cap);
	size_t at = 0;

	HOLDS(whole != NULL && pieces != NULL);
	fuzz_record(data, size);
	n = cut(data, size, SIZE_MAX, whole, cap);
	HOLDS(cut(data, size, 1, pieces, cap) == n && memcmp(whole, pieces, n) == 0);
	HOLDS(cut(data, size, 0, pieces, cap) == n && memcmp(whole, pieces, n) == 0);
	/* Each begins where a frame does. */
	for (size_t o = 0; o < n; o += 8 + reader_u32(whole + o + 4)) {
		HOLDS(at + 4 <= size && memcmp(whole + o + 8, data + at, 4) == 0);
		at += reader_u32(whole + o);
	}
	free(whole);
	free(pieces);
	return 0;
}
