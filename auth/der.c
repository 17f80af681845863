/* der.c: values in DER, [X.690], read out of a struct rd */
#include "config.h"

#include "auth/der.h"

/* Four octets say more than any message has. */
#define LENGTH_OCTETS_MAX 4

size_t
der_head(struct rd *r, uint8_t *tag)
{
	unsigned n;
	size_t len = 0;

	*tag = rd_u8(r);
	n = rd_u8(r);
	if (n < 0x80)
		return n;
	n &= 0x7f;
	/* 0: the indefinite form, which DER does not have. */
	if (n == 0 || n > LENGTH_OCTETS_MAX)
		r->bad = true;
	for (; n > 0 && rd_ok(r); n--)
		len = len << 8 | rd_u8(r);
	return rd_ok(r) ? len : 0;
}

struct rd
der_next(struct rd *r, uint8_t *tag)
{
	size_t len = der_head(r, tag);
	struct rd in = rd_sub(r, r->pos, len);

	rd_skip(r, len);
	return in;
}

struct rd
der_of(struct rd *r, uint8_t tag)
{
	uint8_t found;
	struct rd in = der_next(r, &found);

	if (found != tag)
		in.bad = r->bad = true;
	return in;
}

bool
der_is(const struct rd *r, uint8_t tag)
{
	return rd_left(r) > 0 && r->base[r->pos] == tag;
}

uint32_t
der_u32(struct rd *r, uint8_t tag)
{
	struct rd outer = der_of(r, tag), in = der_of(&outer, DER_INTEGER);
	uint32_t v = 0;

	/* Five octets: a zero in front of a number whose highest bit is set. */
	if (rd_left(&in) > 5 || !rd_ok(&in))
		r->bad = true;
	while (rd_left(&in) > 0)
		v = v << 8 | rd_u8(&in);
	return v;
}
