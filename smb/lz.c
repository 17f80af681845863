/* lz.c: what messages are compressed with: LZNT1, LZ77, LZ77+Huffman, LZ4 */
#include "config.h"

#include "smb/lz.h"

#include "base/rd.h"

#include <stdbool.h>
#include <string.h>

/* What a chunk of LZNT1 stands for, but for the last one. */
#define LZ_NT1_CHUNK 4096

/* What has been written so far, and may be referred to. */
struct lz_out {
	uint8_t *base;
	size_t max, n;
};

static void
lz_byte(struct lz_out *o, uint8_t v)
{
	if (o->n < o->max)
		o->base[o->n++] = v;
}

/* `len` bytes again that stand `back` bytes before. False: there are not so many. */
static bool
lz_again(struct lz_out *o, size_t back, size_t len)
{
	if (back > o->n || back == 0)
		return false;
	/* Byte by byte: what is copied may be what has just been written. */
	for (; len > 0 && o->n < o->max; len--, o->n++)
		o->base[o->n] = o->base[o->n - back];
	return true;
}

/* The length of a match, behind one that is as long as its first field can say; `least` of it. */
static size_t
lz_long(struct rd *r, size_t least)
{
	size_t len = rd_u8(r);

	if (len < 255)
		return len + least;
	len = rd_u16(r);
	if (len == 0)
		len = rd_u32(r);
	/* It says all of the length. 0: no encoder says so little this way. */
	return len < least ? 0 : len;
}

static bool
lz_77_match(struct rd *r, struct lz_out *o, size_t *half)
{
	const uint16_t m = rd_u16(r);
	size_t len = m & 7, at;

	if (len == 7) {
		/* Half a byte more; two matches share one. */
		at = *half;
		if (at == 0) {
			*half = r->pos;
			len = rd_u8(r) & 15;
		} else {
			*half = 0;
			len = r->base[at] >> 4;
		}
		len = len < 15 ? len + 7 : lz_long(r, 22);
		if (len == 0)
			return false;
	}
	return rd_ok(r) && lz_again(o, (size_t)(m >> 3) + 1, len + 3);
}

size_t
lz_77(const uint8_t *in, size_t n, uint8_t *out, size_t max)
{
	struct rd r = rd_init(in, n);
	struct lz_out o = { .base = out, .max = max };
	uint32_t flags = 0;
	size_t half = 0;

	for (unsigned left = 0; o.n < max; left--) {
		uint8_t v;

		if (left == 0) {
			flags = rd_u32(&r);
			left = 32;
		}
		if ((flags >> (left - 1) & 1) == 0) {
			v = rd_u8(&r);
			if (!rd_ok(&r))
				break;
			lz_byte(&o, v);
		} else if (!lz_77_match(&r, &o, &half)) {
			break;
		}
	}
	return o.n;
}

/*
 * The items of one chunk: a byte of flags before every eight of them. False: they are none from
 * somewhere on; what stands before that counts, for whoever asks for less has had it too.
 */
static bool
lz_nt1_chunk(struct rd *r, struct lz_out *o)
{
	const size_t room = o->max - o->n < LZ_NT1_CHUNK ? o->max - o->n : LZ_NT1_CHUNK;
	struct lz_out c = { .base = o->base + o->n, .max = room };
	unsigned flags = 1;
	bool good = true;

	while (good && rd_left(r) > 0 && c.n < room) {
		if (flags == 1)
			flags = 0x100u | rd_u8(r);
		if (rd_left(r) == 0)
			break;
		if ((flags & 1) == 0) {
			lz_byte(&c, rd_u8(r));
		} else {
			const uint16_t m = rd_u16(r);
			unsigned bits = 12;

			/* The further on, the more of it says how far back. */
			for (size_t at = c.n - (c.n > 0); at >= 16; at >>= 1)
				bits--;
			good = rd_ok(r) &&
			    lz_again(&c, (size_t)(m >> bits) + 1, (m & ((1u << bits) - 1)) + 3u);
		}
		flags >>= 1;
	}
	o->n += c.n;
	return good;
}

size_t
lz_nt1(const uint8_t *in, size_t n, uint8_t *out, size_t max)
{
	struct rd r = rd_init(in, n);
	struct lz_out o = { .base = out, .max = max };

	/* All chunks but the last are whole: receivers differ in what they make of others. */
	while (o.n < max && o.n % LZ_NT1_CHUNK == 0 && rd_left(&r) >= 2) {
		const uint16_t h = rd_u16(&r);
		size_t len = (h & 0xfffu) + 1;
		struct rd chunk;

		if (h == 0)
			break;
		if (len > rd_left(&r))
			len = rd_left(&r);
		chunk = rd_sub(&r, r.pos, len);
		rd_skip(&r, len);
		if ((h & 0x8000) != 0) {
			if (!lz_nt1_chunk(&chunk, &o))
				break;
			continue;
		}
		while (rd_left(&chunk) > 0 && o.n < max)
			lz_byte(&o, rd_u8(&chunk));
	}
	return o.n;
}

/* The symbols of a block, by the length of their codes. */
struct huffman {
	uint16_t count[16], symbol[512];
};

/* False: such lengths are those of no code. */
static bool
huffman_init(struct huffman *h, struct rd *r)
{
	const uint8_t *t = rd_bytes(r, 256);
	uint16_t at[16] = { 0 };
	uint32_t used = 0;

	memset(h, 0, sizeof(*h));
	if (t == NULL)
		return false;
	for (unsigned i = 0; i < 512; i++)
		h->count[t[i / 2] >> (i & 1) * 4 & 15]++;
	h->count[0] = 0;
	for (unsigned len = 1; len < 16; len++) {
		at[len] = (uint16_t)(at[len - 1] + h->count[len - 1]);
		used += (uint32_t)h->count[len] << (15 - len);
	}
	for (unsigned i = 0; i < 512; i++) {
		unsigned len = t[i / 2] >> (i & 1) * 4 & 15;

		if (len != 0)
			h->symbol[at[len]++] = (uint16_t)i;
	}
	return used == 1u << 15;
}

/* Bits, the first one on top; read 16 at a time, between which there are bytes. */
struct bits {
	struct rd *r;
	uint32_t next;
	int extra;	/* so many of them stand in `next` besides 16 */
	int have;	/* so many of those are the input's; below 0: more were taken */
};

static uint16_t
bits_word(struct bits *b)
{
	/* There need not be any behind the last that is used. */
	if (rd_left(b->r) < 2)
		return 0;
	b->have += 16;
	return rd_u16(b->r);
}

static void
bits_init(struct bits *b, struct rd *r)
{
	*b = (struct bits){ .r = r, .extra = 16 };
	b->next = (uint32_t)bits_word(b) << 16;
	b->next |= bits_word(b);
}

/* n of them, 15 at most. */
static uint32_t
bits_take(struct bits *b, unsigned n)
{
	const uint32_t v = n == 0 ? 0 : b->next >> (32 - n);

	b->next <<= n;
	b->extra -= (int)n;
	b->have -= (int)n;
	if (b->extra < 0) {
		b->next |= (uint32_t)bits_word(b) << -b->extra;
		b->extra += 16;
	}
	return v;
}

/* -1: none. */
static int
huffman_symbol(const struct huffman *h, struct bits *b)
{
	uint32_t code = 0, first = 0, index = 0;

	for (unsigned len = 1; len < 16; len++) {
		code = code << 1 | (b->next >> (32 - len) & 1);
		if (code - first < h->count[len]) {
			(void)bits_take(b, len);
			return h->symbol[index + (code - first)];
		}
		index += h->count[len];
		first = (first + h->count[len]) << 1;
	}
	return -1;
}

static bool
lz_huffman_match(struct bits *b, struct lz_out *o, unsigned symbol)
{
	const unsigned width = symbol >> 4;
	size_t len = symbol & 15, back;

	if (len == 15)
		len = lz_long(b->r, 15);
	back = ((size_t)1 << width) + bits_take(b, width);
	return len != 0 && rd_ok(b->r) && b->have >= 0 && lz_again(o, back, len + 3);
}

size_t
lz_77_huffman(const uint8_t *in, size_t n, uint8_t *out, size_t max)
{
	struct rd r = rd_init(in, n);
	struct lz_out o = { .base = out, .max = max };
	struct huffman h;
	struct bits b;

	while (o.n < max) {
		const size_t end = o.n + 65536;

		if (!huffman_init(&h, &r))
			return o.n;
		bits_init(&b, &r);
		/* A match may go beyond the end of its block. */
		while (o.n < end && o.n < max) {
			const int s = huffman_symbol(&h, &b);

			if (s < 0 || b.have < 0)
				return o.n;
			if (s < 256)
				lz_byte(&o, (uint8_t)s);
			else if (!lz_huffman_match(&b, &o, (unsigned)s - 256))
				return o.n;
		}
	}
	return o.n;
}

/* A length of 15 or more goes on in bytes, of which the last is not 255. */
static size_t
lz_4_length(struct rd *r, size_t n)
{
	uint8_t v = 255;

	while (n >= 15 && v == 255) {
		v = rd_u8(r);
		n += v;
	}
	return n;
}

size_t
lz_4(const uint8_t *in, size_t n, uint8_t *out, size_t max)
{
	struct rd r = rd_init(in, n);
	struct lz_out o = { .base = out, .max = max };

	while (o.n < max && rd_left(&r) > 0) {
		const uint8_t token = rd_u8(&r);
		size_t len = lz_4_length(&r, token >> 4), back;

		for (; len > 0 && rd_left(&r) > 0 && o.n < max; len--)
			lz_byte(&o, rd_u8(&r));
		if (len > 0 || rd_left(&r) == 0)
			break;
		back = rd_u16(&r);
		len = lz_4_length(&r, token & 15);
		if (!rd_ok(&r) || !lz_again(&o, back, len + 4))
			break;
	}
	return o.n;
}
