/* addr.c: IPv4/IPv6 addresses and prefixes: parse, normalise, print, compare, match */
#include "config.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Where the IPv4 part of a normal form begins, in bytes and in bits. */
#define V4_OFF 12
#define V4_BITS 96

static const uint8_t v4_mapped[V4_OFF] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* A decimal number without sign, blanks or leading zeros, up to max; -1 for all else. */
static int
number(const char *text, unsigned max)
{
	unsigned v = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		v = v * 10 + (unsigned)(*text - '0');
		if (v > max)
			return -1;
	}
	return (int)v;
}

/* addr_parse() of the n bytes from text on. */
static int
parse_part(struct addr *dst, const char *text, size_t n)
{
	char part[INET6_ADDRSTRLEN];

	if (n >= sizeof(part))
		return -1;
	memcpy(part, text, n);
	part[n] = '\0';
	return addr_parse(dst, part);
}

int
addr_parse(struct addr *dst, const char *text)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		memcpy(dst->b, v4_mapped, V4_OFF);
		memcpy(dst->b + V4_OFF, &v4, 4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6) == 1) {
		*dst = addr_from_v6(v6.s6_addr);
		return 0;
	}
	return -1;
}

int
addrport_parse(struct addrport *dst, const char *text, uint16_t default_port)
{
	const char *host = text, *colon = strrchr(text, ':'), *port = NULL;
	size_t n = strlen(text);
	int v;

	if (text[0] == '[') {
		const char *close = strchr(text, ']');

		if (close == NULL || (close[1] != '\0' && close[1] != ':'))
			return -1;
		/* Brackets are for IPv6 texts only. */
		if (memchr(text, ':', (size_t)(close - text)) == NULL)
			return -1;
		host = text + 1;
		n = (size_t)(close - host);
		if (close[1] == ':')
			port = close + 2;
	} else if (colon != NULL && strchr(text, ':') == colon) {
		n = (size_t)(colon - text);
		port = colon + 1;
	}

	v = port == NULL ? default_port : number(port, 65535);
	if (v <= 0 || parse_part(&dst->addr, host, n) < 0)
		return -1;
	dst->port = (uint16_t)v;
	return 0;
}

int
prefix_parse(struct prefix *dst, const char *text)
{
	const char *slash = strchr(text, '/');
	struct prefix p;
	bool v4;
	int len;

	if (slash == NULL) {
		if (addr_parse(&p.addr, text) < 0)
			return -1;
		*dst = prefix_host(&p.addr);
		return 0;
	}
	if (parse_part(&p.addr, text, (size_t)(slash - text)) < 0)
		return -1;
	/* The length counts as the text is written: ::ffff:10.0.0.0/104 is 10.0.0.0/8. */
	v4 = memchr(text, ':', (size_t)(slash - text)) == NULL;
	len = number(slash + 1, v4 ? 32 : 128);
	if (len < 0)
		return -1;
	p.len = (uint8_t)(v4 ? len + V4_BITS : len);
	for (unsigned bit = p.len; bit < 128; bit++) {
		if ((p.addr.b[bit / 8] & 0x80 >> bit % 8) != 0)
			return -1;
	}
	*dst = p;
	return 0;
}

struct prefix
prefix_host(const struct addr *a)
{
	return (struct prefix){ .addr = *a, .len = 128 };
}

const char *
addr_str(const struct addr *a, char dst[ADDR_STRLEN])
{
	if (addr_is_v4(a))
		inet_ntop(AF_INET, a->b + V4_OFF, dst, ADDR_STRLEN);
	else
		inet_ntop(AF_INET6, a->b, dst, ADDR_STRLEN);
	return dst;
}

const char *
addrport_str(const struct addrport *a, char dst[ADDR_STRLEN])
{
	char host[ADDR_STRLEN];
	bool v4 = addr_is_v4(&a->addr);

	snprintf(dst, ADDR_STRLEN, "%s%.46s%s:%u", v4 ? "" : "[", addr_str(&a->addr, host),
	    v4 ? "" : "]", a->port);
	return dst;
}

const char *
prefix_str(const struct prefix *p, char dst[ADDR_STRLEN])
{
	char host[ADDR_STRLEN];
	bool v4 = addr_is_v4(&p->addr) && p->len >= V4_BITS;

	snprintf(dst, ADDR_STRLEN, "%.46s/%u", addr_str(&p->addr, host),
	    v4 ? p->len - (unsigned)V4_BITS : p->len);
	return dst;
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool
addr_is_v4(const struct addr *a)
{
	return memcmp(a->b, v4_mapped, V4_OFF) == 0;
}

bool
addr_is_unspecified(const struct addr *a)
{
	static const struct addr any6;
	static const uint8_t any4[4];

	if (addr_is_v4(a))
		return memcmp(a->b + V4_OFF, any4, sizeof(any4)) == 0;
	return addr_equal(a, &any6);
}

bool
addr_is_linklocal(const struct addr *a)
{
	if (addr_is_v4(a))
		return a->b[V4_OFF] == 169 && a->b[V4_OFF + 1] == 254;
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool
addr_is_loopback(const struct addr *a)
{
	static const struct addr v6 = { { [15] = 1 } };

	return addr_is_v4(a) ? a->b[V4_OFF] == 127 : addr_equal(a, &v6);
}

bool
prefix_match(const struct prefix *p, const struct addr *a)
{
	unsigned whole = p->len / 8, rest = p->len % 8;

	/*
	 * ::/0 says "all of IPv6", as in every firewall; that IPv4 lies inside it is a detail of
	 * the normal form.
	 */
	if (p->len < V4_BITS && addr_is_v4(a))
		return false;
	if (memcmp(p->addr.b, a->b, whole) != 0)
		return false;
	return rest == 0 || ((p->addr.b[whole] ^ a->b[whole]) & 0xff << (8 - rest) & 0xff) == 0;
}

bool
prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && addr_equal(&a->addr, &b->addr);
}

struct addr
addr_from_v4(const uint8_t b[4])
{
	struct addr a;

	memcpy(a.b, v4_mapped, V4_OFF);
	memcpy(a.b + V4_OFF, b, 4);
	return a;
}

struct addr
addr_from_v6(const uint8_t b[16])
{
	struct addr a;

	/* Nothing to fold: the v4-mapped form is the normal form of IPv4. */
	memcpy(a.b, b, sizeof(a.b));
	return a;
}

int
addrport_from_sa(struct addrport *dst, const struct sockaddr *sa)
{
	/* Copies, because sa may be a cast buffer of any alignment and effective type. */
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;
		uint8_t b[4];

		memcpy(&in, sa, sizeof(in));
		memcpy(b, &in.sin_addr, sizeof(b));
		dst->addr = addr_from_v4(b);
		dst->port = ntohs(in.sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		dst->addr = addr_from_v6(in6.sin6_addr.s6_addr);
		dst->port = ntohs(in6.sin6_port);
		return 0;
	}
	return -1;
}

socklen_t
addrport_to_sa(const struct addrport *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (addr_is_v4(&a->addr)) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };

		memcpy(&in.sin_addr, a->addr.b + V4_OFF, 4);
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	} else {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };

		memcpy(&in6.sin6_addr, a->addr.b, sizeof(a->addr.b));
		memcpy(ss, &in6, sizeof(in6));
		return sizeof(in6);
	}
}
