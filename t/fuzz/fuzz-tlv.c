/* fuzz-tlv.c: libFuzzer target: records of typed values, against a plain reader of them */
/* for: base/tlv.c */
#include "config.h"

#include "base/tlv.h"
#include "t/fuzz/reader.h"
#include "t/unit/lib/holds.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One member of each kind and width. */
struct all {
	uint8_t one;
	uint16_t two;
	uint32_t four;
	uint64_t eight;
	bool flag;
	uint8_t bytes[5];
	char text[9];
};

static const struct tlv_field fields[] = {
	TLV_UINT(1, all, one),
	TLV_UINT(2, all, two),
	TLV_UINT(3, all, four),
	TLV_UINT(4, all, eight),
	TLV_BOOL(5, all, flag),
	TLV_BYTES(6, all, bytes),
	TLV_TEXT(7, all, text),
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Where the value at p ends; 0: there is none. */
static size_t
one(const uint8_t *p, size_t n)
{
	return n < 6 || reader_u32(p + 2) > n - 6 ? 0 : 6 + (size_t)reader_u32(p + 2);
}

/* Value by value, as many as fit, and what stands in them; put again, they are the same bytes. */
static void
walk(const uint8_t *p, size_t n, unsigned depth)
{
	struct tlv_in in = tlv_in(p, n);
	struct tlv_out o = { .len = 0 };
	size_t at = 0, k;

	while ((k = one(p + at, n - at)) > 0) {
		HOLDS(tlv_next(&in) && !in.bad);
		HOLDS(in.type == reader_u16(p + at) && in.n == k - 6 && in.value == p + at + 6);
		tlv_put(&o, in.type, in.value, in.n);
		if (depth < 4) {
			struct tlv_in sub = tlv_sub(&in);

			HOLDS(sub.at == in.value && sub.left == in.n);
			walk(in.value, in.n, depth + 1);
		}
		at += k;
	}
	HOLDS(!tlv_next(&in) && in.bad == (at < n));
	HOLDS(tlv_whole(p, n) == at);
	HOLDS(o.len == at && (at == 0 || memcmp(o.data, p, at) == 0));
	tlv_out_fini(&o);
}

/* A structure that could be read is written, and read again the same. */
static bool
read_all(struct all *a, const void *p, size_t n)
{
	struct tlv_in in = tlv_in(p, n);

	memset(a, 0, sizeof(*a));
	while (tlv_next(&in))
		if (!tlv_get_field(&in, a, fields, COUNT(fields)))
			tlv_unknown(&in);
	return !in.bad;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct all a, b;
	struct tlv_out o = { .len = 0 };

	walk(data, size, 0);
	if (!read_all(&a, data, size))
		return 0;
	HOLDS(memchr(a.text, 0, sizeof(a.text)) != NULL);
	tlv_put_fields(&o, &a, fields, COUNT(fields));
	HOLDS(!o.bad && read_all(&b, o.data, o.len));
	HOLDS(a.one == b.one && a.two == b.two && a.four == b.four && a.eight == b.eight &&
	    a.flag == b.flag && memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0 &&
	    strcmp(a.text, b.text) == 0);
	tlv_out_fini(&o);
	return 0;
}
