/* plain.c: pure: text that others have made, as people may be shown it */
#include "config.h"

#include "base/plain.h"

#include <string.h>

size_t
plain_char(const char *s, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s;
	size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4
	                                                                                       : 0;

	if (n < 2) {
		*c = p[0];
		return n;
	}
	*c = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		*c = *c << 6 | (p[i] & 0x3f);
	}
	return *c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ? 0 : n;
}

bool
plain_is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
	    (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void
plain_text(char *s)
{
	char *dst = s;
	uint32_t c;

	while (*s != '\0') {
		size_t n = plain_char(s, &c);

		if (n == 0 || (plain_is_control(c) && c != '\n' && c != '\t'))
			*dst++ = '?';
		else
			dst = (char *)memmove(dst, s, n) + n;
		s += n == 0 ? 1 : n;
	}
	*dst = '\0';
}
