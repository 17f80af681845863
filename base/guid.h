/* guid.h: the 16-byte GUID as a value: equality, zero test, printing */
#ifndef BASE_GUID_H
#define BASE_GUID_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct guid {
	uint8_t b[16];
};

/* Room for the printed form with its NUL. */
#define GUID_STRLEN 37

static inline bool
guid_equal(const struct guid *a, const struct guid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool
guid_is_zero(const struct guid *g)
{
	static const struct guid zero;

	return guid_equal(g, &zero);
}

/* Prints in the usual mixed-endian form [MS-DTYP] 2.3.4.3; returns dst. */
static inline const char *
guid_str(const struct guid *g, char dst[GUID_STRLEN])
{
	const uint8_t *b = g->b;

	snprintf(dst, GUID_STRLEN,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[3], b[2],
	    b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13],
	    b[14], b[15]);
	return dst;
}

#endif
