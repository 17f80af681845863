/* siphash.c: SipHash-2-4, a keyed 64-bit hash */
#include "config.h"

#include "base/siphash.h"

#include <endian.h>
#include <string.h>

struct sip {
	uint64_t a, b, c, d;
};

static uint64_t
little(const uint8_t p[8])
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static uint64_t
rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static inline struct sip
sip_round(struct sip s)
{
	s.a += s.b;
	s.c += s.d;
	s.b = rotate(s.b, 13) ^ s.a;
	s.d = rotate(s.d, 16) ^ s.c;
	s.a = rotate(s.a, 32);
	s.c += s.b;
	s.a += s.d;
	s.b = rotate(s.b, 17) ^ s.c;
	s.d = rotate(s.d, 21) ^ s.a;
	s.c = rotate(s.c, 32);
	return s;
}

static inline struct sip
sip_word(struct sip s, uint64_t word)
{
	s.d ^= word;
	s = sip_round(sip_round(s));
	s.a ^= word;
	return s;
}

uint64_t
siphash(const uint8_t key[SIPHASH_KEY_LEN], const void *a, size_t an, const void *b, size_t bn)
{
	const uint64_t k0 = little(key), k1 = little(key + 8);
	const uint8_t *p = a;
	size_t n = an, done = 0;
	uint64_t word = 0;
	/* The name of it all: "somepseudorandomlygeneratedbytes". */
	struct sip s = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
		k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u };

	for (;; p++, n--, done++) {
		for (; n >= 8 && done % 8 == 0; p += 8, n -= 8, done += 8)
			s = sip_word(s, little(p));
		if (n == 0) {
			if (done == an + bn)
				break;
			p = b;
			n = bn;
		}
		word |= (uint64_t)*p << (8 * (done % 8));
		if (done % 8 == 7) {
			s = sip_word(s, word);
			word = 0;
		}
	}
	s = sip_word(s, word | (uint64_t)(an + bn) << 56);
	s.c ^= 0xff;
	s = sip_round(sip_round(sip_round(sip_round(s))));
	return s.a ^ s.b ^ s.c ^ s.d;
}
